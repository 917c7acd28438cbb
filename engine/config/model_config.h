// What a checkpoint directory in the Diffusers layout says about its model (spec/wan 1.2): plain
// values, read from the JSON files and validated.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace psagen::engine {

struct TextEncoderConfig {  // text_encoder/config.json, UMT5EncoderModel
  std::int64_t vocab_size = 0;
  std::int64_t d_model = 0;
  std::int64_t d_kv = 0;
  std::int64_t d_ff = 0;
  std::int64_t num_layers = 0;
  std::int64_t num_heads = 0;
  std::int64_t relative_attention_num_buckets = 32;
  std::int64_t relative_attention_max_distance = 128;
  double layer_norm_epsilon = 1e-6;
  std::int64_t pad_token_id = 0;
  std::int64_t eos_token_id = 1;
};

struct TransformerConfig {  // transformer/config.json, WanTransformer3DModel
  std::array<std::int64_t, 3> patch_size = {1, 2, 2};
  std::int64_t num_attention_heads = 0;
  std::int64_t attention_head_dim = 0;
  std::int64_t in_channels = 0;
  std::int64_t out_channels = 0;
  std::int64_t text_dim = 0;
  std::int64_t freq_dim = 256;
  std::int64_t ffn_dim = 0;
  std::int64_t num_layers = 0;
  double eps = 1e-6;
  std::int64_t rope_max_seq_len = 1024;
  std::int64_t dim() const { return num_attention_heads * attention_head_dim; }
};

struct VaeConfig {  // vae/config.json, AutoencoderKLWan of Wan 2.1
  std::int64_t base_dim = 0;
  std::int64_t decoder_base_dim = 0;  // = base_dim where the file has none
  std::int64_t z_dim = 0;
  std::vector<std::int64_t> dim_mult;
  std::int64_t num_res_blocks = 0;
  std::vector<bool> temporal_downsample;  // "temperal_downsample" in the file
  std::vector<double> latents_mean;
  std::vector<double> latents_std;
  std::int64_t spatial_stride() const { return std::int64_t{1} << (dim_mult.size() - 1); }
  std::int64_t temporal_stride() const;
};

struct SchedulerConfig {  // scheduler/scheduler_config.json
  double flow_shift = 3.0;
  std::int64_t num_train_timesteps = 1000;
  std::int64_t solver_order = 2;
};

// Optional psa_gen.json beside model_index.json: what this model was made for. Published
// checkpoints have none and get Wan's defaults (spec/wan 5.7).
struct GenerationDefaults {
  std::int64_t width = 832;
  std::int64_t height = 480;
  std::int64_t num_frames = 81;
  double fps = 16.0;
  std::int64_t num_steps = 50;
  double guidance_scale = 5.0;
  double shift = 3.0;
  std::string negative_prompt;
  std::int64_t max_text_tokens = 512;
};

struct ModelConfig {
  std::filesystem::path directory;
  std::string name;  // last part of the directory's path
  TextEncoderConfig text_encoder;
  TransformerConfig transformer;
  VaeConfig vae;
  SchedulerConfig scheduler;
  GenerationDefaults defaults;
};

// Reads and validates model_index.json and the components' configurations. Errors name the file and
// the key: a missing file or key, a wrong type, an unknown _class_name, a value this program cannot
// honour (Wan 2.2's VAE, image conditioning, dynamic shifting, ...), sizes that disagree.
ModelConfig read_model_config(const std::filesystem::path& directory);

}  // namespace psagen::engine
