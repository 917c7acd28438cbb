#include "engine/config/known_models.h"

#include "engine/config/nearest_name.h"
#include "kernels/core/error.h"

namespace psagen::engine {
namespace {

struct KnownTransformer {
  const char* name;
  std::int64_t num_heads, ffn_dim, num_layers;
};

constexpr KnownTransformer kTransformers[] = {
    {"wan2.1-1.3b", 12, 8960, 30},
    {"wan2.1-14b", 40, 13824, 40},
};

// UMT5-XXL and the Wan 2.1 VAE serve all of them.
ModelConfig shared_parts() {
  ModelConfig config;
  config.text_encoder.vocab_size = 256384;
  config.text_encoder.d_model = 4096;
  config.text_encoder.d_kv = 64;
  config.text_encoder.d_ff = 10240;
  config.text_encoder.num_layers = 24;
  config.text_encoder.num_heads = 64;
  config.transformer.attention_head_dim = 128;
  config.transformer.in_channels = 16;
  config.transformer.out_channels = 16;
  config.transformer.text_dim = 4096;
  config.vae.base_dim = config.vae.decoder_base_dim = 96;
  config.vae.z_dim = 16;
  config.vae.dim_mult = {1, 2, 4, 4};
  config.vae.num_res_blocks = 2;
  config.vae.temporal_downsample = {false, true, true};
  config.vae.latents_mean.assign(16, 0.0);
  config.vae.latents_std.assign(16, 1.0);
  return config;
}

}  // namespace

std::vector<std::string> known_model_names() {
  std::vector<std::string> names;
  for (const KnownTransformer& known : kTransformers) names.emplace_back(known.name);
  return names;
}

ModelConfig known_model(const std::string& name) {
  for (const KnownTransformer& known : kTransformers) {
    if (name != known.name) continue;
    ModelConfig config = shared_parts();
    config.name = name;
    config.transformer.num_attention_heads = known.num_heads;
    config.transformer.ffn_dim = known.ffn_dim;
    config.transformer.num_layers = known.num_layers;
    return config;
  }
  throw Error(ErrorCode::kInvalidArgument, concat("unknown model shape '", name, "'",
                                                  name_suggestion(name, known_model_names())));
}

}  // namespace psagen::engine
