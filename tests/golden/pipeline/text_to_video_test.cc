// The whole pipeline against diffusers' WanPipeline: 12 steps, guidance 5, three clips.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "engine/dit/dit.h"
#include "engine/pipeline/denoise_loop.h"
#include "engine/pipeline/guided_model.h"
#include "engine/pipeline/initial_noise.h"
#include "engine/pipeline/text_to_video.h"
#include "engine/text/umt5_encoder.h"
#include "kernels/backend.h"
#include "tests/support/golden_fixture.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/write_checkpoint.h"

namespace psagen::engine {
namespace {

namespace fs = std::filesystem;
using testing::GoldenFixture;
using testing::Json;

constexpr double kMaxLatentError = 1e-3;  // relative L2
constexpr double kMinPsnr = 50.0;         // decibels, over all 8-bit frames

// The checkpoint that the fixture describes, with the tokenizer of the tests' tiny model.
void write_checkpoint(const GoldenFixture& golden, const fs::path& directory) {
  for (const auto& [name, content] : golden.json().at("files").items()) {
    fs::create_directories((directory / name).parent_path());
    std::ofstream(directory / name) << content;
  }
  for (const auto& [component, tensors] : golden.json().at("tensors").items()) {
    const char* stem = component == "text_encoder" ? "model" : "diffusion_pytorch_model";
    testing::write_formula_safetensors(directory / component / concat(stem, ".safetensors"),
                                       testing::shapes_from(tensors));
  }
  fs::copy(PSAGEN_SOURCE_DIR "/tests/data/tiny_model/tokenizer", directory / "tokenizer",
           fs::copy_options::recursive);
  const Json defaults = {{"max_text_tokens", golden.json().at("request").at("max_text_tokens")}};
  std::ofstream(directory / "psa_gen.json") << defaults;
}

VideoRequest request_of(const Json& json) {
  VideoRequest request;
  request.prompt = json.at("prompt");
  request.negative_prompt = json.at("negative_prompt");
  request.width = json.at("width");
  request.height = json.at("height");
  request.num_frames = json.at("num_frames");
  request.num_steps = json.at("num_steps");
  request.guidance_scale = json.at("guidance_scale");
  request.shift = json.at("flow_shift");
  request.seed = json.at("seed");
  return request;
}

class TextToVideoTest : public ::testing::TestWithParam<const char*> {
 protected:
  TextToVideoTest() { write_checkpoint(golden_, folder_.path()); }

  Weights open(const char* component, const char* stem) {
    return Weights(std::shared_ptr<const WeightSource>(open_safetensors(folder_ / component, stem)),
                   context_);
  }

  GoldenFixture golden_{concat("pipeline_", GetParam())};
  testing::TemporaryFolder folder_;
  Context context_;
};

TEST_P(TextToVideoTest, PromptsBecomeTheSameIds) {
  const TextToVideo pipeline(folder_.path(), context_);
  const Json& request = golden_.json().at("request");
  const std::int64_t limit = pipeline.config().defaults.max_text_tokens;
  const std::vector<std::vector<std::int32_t>> wanted = request.at("ids");
  EXPECT_EQ(pipeline.tokenizer().encode(request.at("prompt"), limit).ids, wanted[0]);
  EXPECT_EQ(pipeline.tokenizer().encode(request.at("negative_prompt"), limit).ids, wanted[1]);
}

TEST_P(TextToVideoTest, LatentsAgreeWithDiffusers) {
  const std::unique_ptr<kernels::Ops> ops = kernels::make_ops(context_);
  const ModelConfig config = read_model_config(folder_.path());
  const VideoRequest request = request_of(golden_.json().at("request"));
  const std::int64_t max_tokens = config.defaults.max_text_tokens;
  const Umt5Encoder encoder(config.text_encoder, open("text_encoder", "model"), *ops);
  const Dit dit(config.transformer, open("transformer", "diffusion_pytorch_model"), *ops);

  const std::vector<std::vector<std::int32_t>> prompts = golden_.json().at("request").at("ids");
  const std::vector<Tensor> encoded = encoder.encode(*ops, prompts);
  const TextContext positive = dit.encode_text(*ops, encoded[0], max_tokens);
  const TextContext negative = dit.encode_text(*ops, encoded[1], max_tokens);

  const Shape shape = golden_.shape("final_latent");
  Tensor latent(context_.allocator(), DType::kF32, shape);
  TorchCpuGenerator(request.seed)
      .normal({latent.view().data<float>(), static_cast<std::size_t>(shape.num_elements())});
  const std::vector<scheduler::StepPlan> plans =
      scheduler::plan_steps(request.solver, request.num_steps, request.shift);
  GuidedModel model(*ops, dit, shape, request.attention,
                    scheduler::guidance_weights(request.guidance_scale), positive, negative);
  DenoiseLoop(*ops, shape, plans)
      .run(
          *ops,
          [&](std::int64_t step, const scheduler::StepPlan& plan, ConstTensorView sample,
              TensorView velocity) {
            model(*ops, sample, plan.timestep, {.step = step, .num_steps = request.num_steps},
                  velocity);
          },
          latent,
          [this](std::int64_t step, ConstTensorView sample) {
            if (step != 0) return;
            EXPECT_LE(testing::relative_l2(testing::floats_of(sample),
                                           golden_.values<float>("latent_after_step_1")),
                      kMaxLatentError);
          });
  const double error =
      testing::relative_l2(testing::floats_of(latent), golden_.values<float>("final_latent"));
  RecordProperty("latent_error", concat(error));
  EXPECT_LE(error, kMaxLatentError);
}

TEST_P(TextToVideoTest, FramesAgreeWithDiffusers) {
  TextToVideo pipeline(folder_.path(), context_);
  const VideoRequest request = request_of(golden_.json().at("request"));
  std::vector<std::uint8_t> frames;
  const RunReport report =
      pipeline.generate(request,
                        [&](const Frame& frame) {
                          EXPECT_EQ(frame.width, request.width);
                          EXPECT_EQ(frame.height, request.height);
                          frames.insert(frames.end(), frame.rgb.begin(), frame.rgb.end());
                        },
                        {});
  const double found = testing::psnr(frames, golden_.values<std::uint8_t>("frames"));
  RecordProperty("psnr", concat(found));
  EXPECT_GE(found, kMinPsnr);

  EXPECT_EQ(report.steps.size(), 12u);
  EXPECT_EQ(report.num_prompt_tokens,
            static_cast<std::int64_t>(golden_.json().at("request").at("ids")[0].size()));
  const Shape latent = golden_.shape("final_latent");
  EXPECT_EQ(report.num_video_tokens, latent[2] * latent[3] * latent[4] / 4);
}

INSTANTIATE_TEST_SUITE_P(Clips, TextToVideoTest,
                         ::testing::Values("odd_token_count", "one_frame", "seventeen_frames"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace psagen::engine
