// Readers of the Diffusers layout (spec/wan 1.2). Each component's table lists the keys that are
// needed, and those whose other values would change the result in a way this program cannot follow;
// further keys of these third-party files have no effect on inference and are ignored.
#include "engine/config/model_config.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "engine/config/json_fields.h"

namespace psagen::engine {
namespace {

constexpr Bounds kCount{1, 100'000};  // layers, heads, channels
constexpr Bounds kWidth{1, 10'000'000};
constexpr Bounds kTokenId{0, 10'000'000};
constexpr Bounds kEpsilon{1e-12, 0.1};

// Of generate.py of Wan 2.1, for text to video (spec/wan 2.5).
constexpr const char* kWanNegativePrompt =
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，"
    "低质量，JPEG压缩残留，丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，"
    "毁容的，形态畸形的肢体，手指融合，静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走";

// `wanted_by` says where the wanted value comes from.
template <typename T>
void check_equal(const std::string& file, const char* key, T found, T wanted,
                 const std::string& wanted_by) {
  PSAGEN_CHECK(found == wanted, ErrorCode::kInvalidArgument, file, ": key \"", key, "\": found ",
               found, ", wanted ", wanted, " (", wanted_by, ")");
}

void check_even(const std::string& file, const char* key, std::int64_t found) {
  PSAGEN_CHECK(found % 2 == 0, ErrorCode::kInvalidArgument, file, ": key \"", key, "\": found ",
               found, ", wanted an even number");
}

// The lengths of the VAE's lists; its strides mean something only after this.
void check_lists(const std::string& file, const VaeConfig& vae) {
  const std::size_t stages = vae.dim_mult.size();
  PSAGEN_CHECK(stages >= 1 && stages <= 8, ErrorCode::kInvalidArgument, file,
               ": key \"dim_mult\": found ", stages, " stages, wanted 1 to 8");
  check_equal(file, "temperal_downsample", vae.temporal_downsample.size(), stages - 1,
              "entries, one fewer than dim_mult");
  const auto z_dim = static_cast<std::size_t>(vae.z_dim);
  check_equal(file, "latents_mean", vae.latents_mean.size(), z_dim, "entries, z_dim");
  check_equal(file, "latents_std", vae.latents_std.size(), z_dim, "entries, z_dim");
}

void read_value(const JsonValue& value, TextEncoderConfig& config) {
  read_fields(
      value, UnknownKeys::kIgnore,
      {only("architectures", {R"(["UMT5EncoderModel"])"}),
       required_only("model_type", {R"("umt5")"}), only("feed_forward_proj", {R"("gated-gelu")"}),
       only("dense_act_fn", {R"("gelu_new")"}), only("is_gated_act", {"true"}),
       only("quantization_config", {"null"}), required("vocab_size", config.vocab_size, kWidth),
       required("d_model", config.d_model, kCount), required("d_kv", config.d_kv, kCount),
       required("d_ff", config.d_ff, kWidth), required("num_layers", config.num_layers, kCount),
       required("num_heads", config.num_heads, kCount),
       optional("relative_attention_num_buckets", config.relative_attention_num_buckets,
                {4, 65536}),
       optional("relative_attention_max_distance", config.relative_attention_max_distance,
                {2, 1'000'000}),
       optional("layer_norm_epsilon", config.layer_norm_epsilon, kEpsilon),
       optional("pad_token_id", config.pad_token_id, kTokenId),
       optional("eos_token_id", config.eos_token_id, kTokenId)});
}

void read_value(const JsonValue& value, TransformerConfig& config) {
  read_fields(
      value, UnknownKeys::kIgnore,
      {required_only("_class_name", {R"("WanTransformer3DModel")"}),
       only("patch_size", {"[1,2,2]"}), only("qk_norm", {R"("rms_norm_across_heads")"}),
       only("cross_attn_norm", {"true"}), only("image_dim", {"null"}),
       only("added_kv_proj_dim", {"null"}), only("pos_embed_seq_len", {"null"}),
       only("quantization_config", {"null"}),
       required("num_attention_heads", config.num_attention_heads, kCount),
       required("attention_head_dim", config.attention_head_dim, kCount),
       required("in_channels", config.in_channels, kCount),
       required("out_channels", config.out_channels, kCount),
       required("text_dim", config.text_dim, kCount), optional("freq_dim", config.freq_dim, kCount),
       required("ffn_dim", config.ffn_dim, kWidth),
       required("num_layers", config.num_layers, kCount), optional("eps", config.eps, kEpsilon),
       optional("rope_max_seq_len", config.rope_max_seq_len, kWidth)});
}

void read_value(const JsonValue& value, VaeConfig& config) {
  read_fields(
      value, UnknownKeys::kIgnore,
      {required_only("_class_name", {R"("AutoencoderKLWan")"}), only("attn_scales", {"[]"}),
       // Wan 2.2's VAE.
       only("is_residual", {"false", "null"}), only("patch_size", {"null"}),
       only("in_channels", {"3", "null"}), only("out_channels", {"3", "null"}),
       only("quantization_config", {"null"}), required("base_dim", config.base_dim, kCount),
       required("z_dim", config.z_dim, kCount), required("dim_mult", config.dim_mult, {1, 1024}),
       required("num_res_blocks", config.num_res_blocks, {1, 64}),
       required("temperal_downsample", config.temporal_downsample),
       required("latents_mean", config.latents_mean),
       required("latents_std", config.latents_std, {1e-6, 1e6})});
  check_lists(value.file(), config);
  config.decoder_base_dim = config.base_dim;
  read_fields(value, UnknownKeys::kIgnore,
              {optional("decoder_base_dim", config.decoder_base_dim, kCount),
               only("scale_factor_spatial", {std::to_string(config.spatial_stride()), "null"}),
               only("scale_factor_temporal", {std::to_string(config.temporal_stride()), "null"})});
  // Each upsampler halves the channels.
  for (std::size_t i = 1; i < config.dim_mult.size(); ++i)
    check_even(value.file(), "dim_mult", config.decoder_base_dim * config.dim_mult[i]);
}

void read_value(const JsonValue& value, SchedulerConfig& config) {
  read_fields(value, UnknownKeys::kIgnore,
              {required_only("_class_name", {R"("UniPCMultistepScheduler")"}),
               required_only("prediction_type", {R"("flow_prediction")"}),
               required_only("use_flow_sigmas", {"true"}),
               required("flow_shift", config.flow_shift, {1e-3, 1e3}),
               only("num_train_timesteps", {"1000"}),
               only("solver_order", {"2"}),
               only("solver_type", {R"("bh2")"}),
               only("predict_x0", {"true"}),
               only("lower_order_final", {"true"}),
               only("disable_corrector", {"[]"}),
               only("solver_p", {"null"}),
               only("final_sigmas_type", {R"("zero")"}),
               only("thresholding", {"false"}),
               only("use_karras_sigmas", {"false", "null"}),
               only("use_exponential_sigmas", {"false", "null"}),
               only("use_beta_sigmas", {"false", "null"}),
               only("use_dynamic_shifting", {"false"}),
               only("shift_terminal", {"null"}),
               only("sigma_min", {"null"}),
               only("sigma_max", {"null"}),
               only("rescale_betas_zero_snr", {"false"})});
}

void read_value(const JsonValue& value, GenerationDefaults& defaults) {
  read_fields(value, UnknownKeys::kRefuse,
              {optional("width", defaults.width, {1, 65536}),
               optional("height", defaults.height, {1, 65536}),
               optional("num_frames", defaults.num_frames, {1, 65536}),
               optional("fps", defaults.fps, {0.1, 1000}),
               optional("num_steps", defaults.num_steps, {1, 1000}),
               optional("guidance_scale", defaults.guidance_scale, {0, 1000}),
               optional("shift", defaults.shift, {1e-3, 1e3}),
               optional("negative_prompt", defaults.negative_prompt),
               optional("max_text_tokens", defaults.max_text_tokens, {1, 65536})});
}

// An entry of model_index.json: [library, class].
JsonField component(const std::string& name, const std::string& library,
                    const std::vector<std::string>& classes) {
  std::vector<std::string> allowed;
  allowed.reserve(classes.size());
  for (const std::string& one : classes) allowed.push_back("[\"" + library + "\",\"" + one + "\"]");
  return required_only(name, allowed);
}

void check_model_index(const std::filesystem::path& path) {
  const JsonDocument document = JsonDocument::load(path);
  read_fields(
      document.root(), UnknownKeys::kIgnore,
      {required_only("_class_name", {R"("WanPipeline")"}),
       // Wan 2.2: a second expert, or timesteps that differ between tokens.
       only("transformer_2", {"null", "[null,null]"}), only("expand_timesteps", {"false", "null"}),
       component("text_encoder", "transformers", {"UMT5EncoderModel"}),
       component("tokenizer", "transformers", {"T5TokenizerFast", "T5Tokenizer"}),
       component("transformer", "diffusers", {"WanTransformer3DModel"}),
       component("vae", "diffusers", {"AutoencoderKLWan"}),
       component("scheduler", "diffusers", {"UniPCMultistepScheduler"})});
}

template <typename Config>
void load(const std::filesystem::path& path, Config& config) {
  const JsonDocument document = JsonDocument::load(path);
  read_value(document.root(), config);
}

// What has to hold between components, and the sizes the network can take at all.
void check_agreement(const ModelConfig& model) {
  const std::string transformer = (model.directory / "transformer" / "config.json").string();
  check_equal(transformer, "in_channels", model.transformer.in_channels, model.vae.z_dim,
              "z_dim of vae/config.json");
  check_equal(transformer, "out_channels", model.transformer.out_channels, model.vae.z_dim,
              "z_dim of vae/config.json");
  check_equal(transformer, "text_dim", model.transformer.text_dim, model.text_encoder.d_model,
              "d_model of text_encoder/config.json");
  check_even(transformer, "attention_head_dim", model.transformer.attention_head_dim);
  check_even(transformer, "freq_dim", model.transformer.freq_dim);

  const std::filesystem::path encoder = model.directory / "text_encoder" / "config.json";
  const std::int64_t last_id =
      std::max(model.text_encoder.pad_token_id, model.text_encoder.eos_token_id);
  PSAGEN_CHECK(last_id < model.text_encoder.vocab_size, ErrorCode::kInvalidArgument,
               encoder.string(), ": key \"vocab_size\": found ", model.text_encoder.vocab_size,
               ", wanted more than the special token ", last_id);
}

void check_defaults(const std::filesystem::path& file, const ModelConfig& model) {
  const GenerationDefaults& defaults = model.defaults;
  const auto check_multiple = [&](const char* key, std::int64_t found, std::int64_t patch) {
    const std::int64_t step = model.vae.spatial_stride() * patch;
    PSAGEN_CHECK(found % step == 0, ErrorCode::kInvalidArgument, file.string(), ": key \"", key,
                 "\": found ", found, ", wanted a multiple of ", step);
  };
  check_multiple("height", defaults.height, model.transformer.patch_size[1]);
  check_multiple("width", defaults.width, model.transformer.patch_size[2]);
  const std::int64_t stride = model.vae.temporal_stride();
  PSAGEN_CHECK((defaults.num_frames - 1) % stride == 0, ErrorCode::kInvalidArgument, file.string(),
               ": key \"num_frames\": found ", defaults.num_frames,
               ", wanted 1 more than a multiple of ", stride);
}

std::string last_part(const std::filesystem::path& directory) {
  std::error_code failed;
  const std::filesystem::path whole = std::filesystem::canonical(directory, failed);
  return (failed ? directory : whole).filename().string();
}

}  // namespace

std::int64_t VaeConfig::temporal_stride() const {
  return std::int64_t{1} << std::count(temporal_downsample.begin(), temporal_downsample.end(),
                                       true);
}

ModelConfig read_model_config(const std::filesystem::path& directory) {
  std::error_code ignored;
  PSAGEN_CHECK(std::filesystem::is_directory(directory, ignored), ErrorCode::kNotFound,
               directory.string(), ": no such directory");
  const std::filesystem::path index = directory / "model_index.json";
  PSAGEN_CHECK(std::filesystem::exists(index, ignored), ErrorCode::kNotFound, directory.string(),
               ": has no model_index.json, wanted a checkpoint in the Diffusers layout");
  check_model_index(index);

  ModelConfig model;
  model.directory = directory;
  model.name = last_part(directory);
  load(directory / "text_encoder" / "config.json", model.text_encoder);
  load(directory / "transformer" / "config.json", model.transformer);
  load(directory / "vae" / "config.json", model.vae);
  load(directory / "scheduler" / "scheduler_config.json", model.scheduler);
  check_agreement(model);

  model.defaults.shift = model.scheduler.flow_shift;
  const std::filesystem::path own = directory / "psa_gen.json";
  if (std::filesystem::exists(own, ignored)) {
    load(own, model.defaults);
    check_defaults(own, model);
  } else {
    model.defaults.negative_prompt = kWanNegativePrompt;
  }
  return model;
}

}  // namespace psagen::engine
