#include "engine/config/model_config.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"

namespace psagen::engine {
namespace {

using nlohmann::json;
using testing::expect_error;
using testing::read_text;
using testing::TemporaryFolder;
using testing::write_text;

const std::filesystem::path kTinyModel =
    std::filesystem::path(PSAGEN_SOURCE_DIR) / "tests" / "data" / "tiny_model";

// A copy of the tiny model's configuration that a test may spoil.
class ModelConfigTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const std::string& file : kFiles) {
      std::filesystem::create_directories((model_ / file).parent_path());
      write_text(model_ / file, read_text(kTinyModel / file));
    }
  }

  // Sets a key, or removes it where `value` is discarded.
  void change(const std::string& file, const std::string& key, const json& value) {
    json content = json::parse(read_text(model_ / file));
    if (value.is_discarded())
      content.erase(key);
    else
      content[key] = value;
    write_text(model_ / file, content.dump());
  }

  void expect_refused(ErrorCode code, std::vector<std::string> parts) {
    expect_error(code, parts, [&] { read_model_config(model_.path()); });
  }

  const json kRemoved = json(json::value_t::discarded);
  const std::vector<std::string> kFiles = {
      "model_index.json",        "psa_gen.json",    "text_encoder/config.json",
      "transformer/config.json", "vae/config.json", "scheduler/scheduler_config.json"};
  TemporaryFolder model_;
};

TEST_F(ModelConfigTest, ReadsTheTinyModel) {
  const ModelConfig model = read_model_config(kTinyModel);
  EXPECT_EQ(model.directory, kTinyModel);
  EXPECT_EQ(model.name, "tiny_model");
  EXPECT_EQ(model.text_encoder.vocab_size, 384);
  EXPECT_EQ(model.text_encoder.d_kv, 16);
  EXPECT_EQ(model.text_encoder.eos_token_id, 1);
  EXPECT_EQ(model.transformer.dim(), 128);
  EXPECT_EQ(model.transformer.num_layers, 2);
  EXPECT_EQ(model.vae.base_dim, 4);
  EXPECT_EQ(model.vae.decoder_base_dim, 4);
  EXPECT_EQ(model.vae.spatial_stride(), 8);
  EXPECT_EQ(model.vae.temporal_stride(), 4);
  EXPECT_EQ(model.vae.latents_std.size(), 8u);
  EXPECT_EQ(model.scheduler.flow_shift, 3.0);
  EXPECT_EQ(model.defaults.width, 64);
  EXPECT_EQ(model.defaults.num_frames, 5);
  EXPECT_EQ(model.defaults.max_text_tokens, 32);
  EXPECT_EQ(model.defaults.negative_prompt, "");
}

TEST_F(ModelConfigTest, GivesPublishedModelsTheDefaultsOfWan) {
  std::filesystem::remove(model_ / "psa_gen.json");
  change("scheduler/scheduler_config.json", "flow_shift", 5.0);
  const GenerationDefaults defaults = read_model_config(model_.path()).defaults;
  EXPECT_EQ(defaults.width, 832);
  EXPECT_EQ(defaults.height, 480);
  EXPECT_EQ(defaults.num_frames, 81);
  EXPECT_EQ(defaults.fps, 16.0);
  EXPECT_EQ(defaults.num_steps, 50);
  EXPECT_EQ(defaults.guidance_scale, 5.0);
  EXPECT_EQ(defaults.shift, 5.0);
  EXPECT_EQ(defaults.max_text_tokens, 512);
  EXPECT_EQ(defaults.negative_prompt.rfind("色调艳丽，过曝，静态，", 0), 0u);
  EXPECT_NE(defaults.negative_prompt.find("JPEG压缩残留"), std::string::npos);
}

TEST_F(ModelConfigTest, AcceptsInertKeysOfOtherVersions) {
  change("transformer/config.json", "image_dim", kRemoved);
  change("transformer/config.json", "pos_embed_seq_len", nullptr);
  change("transformer/config.json", "some_later_key", 3);
  change("vae/config.json", "is_residual", false);
  change("vae/config.json", "in_channels", 3);
  change("vae/config.json", "patch_size", nullptr);
  change("vae/config.json", "scale_factor_spatial", 8);
  change("vae/config.json", "scale_factor_temporal", 4);
  change("vae/config.json", "clip_output", false);
  change("scheduler/scheduler_config.json", "use_dynamic_shifting", false);
  change("scheduler/scheduler_config.json", "time_shift_type", "exponential");
  change("scheduler/scheduler_config.json", "shift_terminal", nullptr);
  change("scheduler/scheduler_config.json", "sigma_min", nullptr);
  change("model_index.json", "boundary_ratio", 0.875);
  change("model_index.json", "transformer_2", json::array({nullptr, nullptr}));
  change("model_index.json", "expand_timesteps", false);
  change("model_index.json", "tokenizer", json::array({"transformers", "T5Tokenizer"}));
  change("text_encoder/config.json", "dtype", "bfloat16");
  EXPECT_NO_THROW(read_model_config(model_.path()));
}

TEST_F(ModelConfigTest, NamesMissingFiles) {
  expect_error(ErrorCode::kNotFound, {"nowhere: no such directory"},
               [&] { read_model_config(model_ / "nowhere"); });
  for (const std::string& file : kFiles) {
    if (file == "psa_gen.json") continue;
    SCOPED_TRACE(file);
    std::filesystem::remove(model_ / file);
    expect_refused(ErrorCode::kNotFound, {model_.path().string(), file});
    write_text(model_ / file, read_text(kTinyModel / file));
  }
}

TEST_F(ModelConfigTest, NamesMissingKeys) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> needed = {
      {"model_index.json",
       {"_class_name", "text_encoder", "tokenizer", "transformer", "vae", "scheduler"}},
      {"text_encoder/config.json",
       {"model_type", "vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_heads"}},
      {"transformer/config.json",
       {"_class_name", "num_attention_heads", "attention_head_dim", "in_channels", "out_channels",
        "text_dim", "ffn_dim", "num_layers"}},
      {"vae/config.json",
       {"_class_name", "base_dim", "z_dim", "dim_mult", "num_res_blocks", "temperal_downsample",
        "latents_mean", "latents_std"}},
      {"scheduler/scheduler_config.json",
       {"_class_name", "prediction_type", "use_flow_sigmas", "flow_shift"}}};
  for (const auto& [file, keys] : needed) {
    for (const std::string& key : keys) {
      SCOPED_TRACE(file + " " + key);
      change(file, key, kRemoved);
      expect_refused(ErrorCode::kNotFound, {file, "key \"" + key + "\" is missing"});
      write_text(model_ / file, read_text(kTinyModel / file));
    }
  }
}

TEST_F(ModelConfigTest, RefusesWhatWouldChangeTheResult) {
  struct Case {
    std::string file, key;
    json value;
  };
  const std::string dit = "transformer/config.json", vae = "vae/config.json";
  const std::string text = "text_encoder/config.json", index = "model_index.json";
  const std::string scheduler = "scheduler/scheduler_config.json";
  const json expert = {"diffusers", "WanTransformer3DModel"};
  const std::vector<Case> cases = {{index, "_class_name", "WanImageToVideoPipeline"},
                                   {index, "transformer_2", expert},
                                   {index, "expand_timesteps", true},
                                   {index, "vae", {"diffusers", "AutoencoderKL"}},
                                   {index, "scheduler", {"diffusers", "DDIMScheduler"}},
                                   {index, "text_encoder", {"transformers", "T5EncoderModel"}},
                                   {index, "tokenizer", {"transformers", "CLIPTokenizer"}},
                                   {dit, "_class_name", "WanVACETransformer3DModel"},
                                   {dit, "patch_size", {1, 1, 1}},
                                   {dit, "qk_norm", "rms_norm"},
                                   {dit, "qk_norm", nullptr},
                                   {dit, "cross_attn_norm", false},
                                   {dit, "image_dim", 1280},
                                   {dit, "added_kv_proj_dim", 5120},
                                   {dit, "pos_embed_seq_len", 514},
                                   {dit, "quantization_config", json::object()},
                                   {vae, "_class_name", "AutoencoderKL"},
                                   {vae, "is_residual", true},
                                   {vae, "patch_size", 2},
                                   {vae, "in_channels", 12},
                                   {vae, "out_channels", 12},
                                   {vae, "attn_scales", {0.5}},
                                   {vae, "scale_factor_spatial", 16},
                                   {vae, "scale_factor_temporal", 8},
                                   {text, "architectures", {"T5EncoderModel"}},
                                   {text, "model_type", "t5"},
                                   {text, "feed_forward_proj", "relu"},
                                   {text, "dense_act_fn", "gelu"},
                                   {text, "is_gated_act", false},
                                   {scheduler, "_class_name", "EulerDiscreteScheduler"},
                                   {scheduler, "prediction_type", "epsilon"},
                                   {scheduler, "use_flow_sigmas", false},
                                   {scheduler, "num_train_timesteps", 500},
                                   {scheduler, "solver_order", 3},
                                   {scheduler, "solver_type", "bh1"},
                                   {scheduler, "predict_x0", false},
                                   {scheduler, "lower_order_final", false},
                                   {scheduler, "disable_corrector", {0}},
                                   {scheduler, "final_sigmas_type", "sigma_min"},
                                   {scheduler, "thresholding", true},
                                   {scheduler, "use_karras_sigmas", true},
                                   {scheduler, "use_exponential_sigmas", true},
                                   {scheduler, "use_beta_sigmas", true},
                                   {scheduler, "use_dynamic_shifting", true},
                                   {scheduler, "shift_terminal", 0.02},
                                   {scheduler, "sigma_min", 0.1},
                                   {scheduler, "sigma_max", 0.9},
                                   {scheduler, "rescale_betas_zero_snr", true}};
  for (const Case& one : cases) {
    SCOPED_TRACE(one.file + " " + one.key);
    change(one.file, one.key, one.value);
    expect_refused(ErrorCode::kUnsupported,
                   {one.file, "key \"" + one.key + "\"", "found ", "this program supports only"});
    write_text(model_ / one.file, read_text(kTinyModel / one.file));
  }
}

TEST_F(ModelConfigTest, RefusesSizesThatDisagree) {
  struct Case {
    std::string file, key;
    json value;
    std::string wanted;
  };
  const std::vector<Case> cases = {
      {"transformer/config.json", "in_channels", 16, "wanted 8 (z_dim of vae/config.json)"},
      {"transformer/config.json", "out_channels", 16, "wanted 8 (z_dim of vae/config.json)"},
      {"transformer/config.json", "text_dim", 64, "wanted 32 (d_model of text_encoder"},
      {"transformer/config.json", "attention_head_dim", 127, "wanted an even number"},
      {"transformer/config.json", "freq_dim", 33, "wanted an even number"},
      {"transformer/config.json", "num_layers", 0, "found 0, wanted 1 to"},
      {"transformer/config.json", "num_layers", "2", "wanted an integer"},
      {"transformer/config.json", "eps", 0, "found 0"},
      {"vae/config.json", "dim_mult", json::array(), "found 0 stages, wanted 1 to 8"},
      {"vae/config.json", "dim_mult", {1, 1, 2}, "found 3, wanted 2 (entries, one fewer"},
      {"vae/config.json", "temperal_downsample", {true}, "found 1, wanted 3"},
      {"vae/config.json", "latents_mean", {0.5}, "found 1, wanted 8 (entries, z_dim)"},
      {"vae/config.json", "latents_std", {1, 1, 1, 1, 1, 1, 1, 0}, "found 0"},
      {"vae/config.json", "base_dim", 3, "wanted an even number"},
      {"vae/config.json", "z_dim", 100'000'000, "wanted 1 to 100000"},
      {"text_encoder/config.json", "eos_token_id", 384, "more than the special token 384"},
      {"text_encoder/config.json", "d_model", 4'000'000'000, "found 4000000000"},
      {"scheduler/scheduler_config.json", "flow_shift", 0, "found 0"},
      {"psa_gen.json", "width", 72, "found 72, wanted a multiple of 16"},
      {"psa_gen.json", "height", 8, "found 8, wanted a multiple of 16"},
      {"psa_gen.json", "num_frames", 4, "found 4, wanted 1 more than a multiple of 4"},
      {"psa_gen.json", "num_step", 4, "did you mean \"num_steps\"?"},
      {"psa_gen.json", "fps", "8", "wanted a number"}};
  for (const Case& one : cases) {
    SCOPED_TRACE(one.file + " " + one.key + " " + one.value.dump());
    change(one.file, one.key, one.value);
    expect_refused(ErrorCode::kInvalidArgument, {one.file, one.wanted});
    write_text(model_ / one.file, read_text(kTinyModel / one.file));
  }
}

TEST_F(ModelConfigTest, TakesTheNameFromTheWholePath) {
  const std::filesystem::path dotted = kTinyModel / "vae" / "..";
  EXPECT_EQ(read_model_config(dotted).name, "tiny_model");
  EXPECT_EQ(read_model_config(kTinyModel / "").name, "tiny_model");
}

}  // namespace
}  // namespace psagen::engine
