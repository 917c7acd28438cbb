// A run of the tests' tiny model: stages, report, cancelling, sparse attention.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "engine/pipeline/text_to_video.h"
#include "kernels/core/error.h"
#include "tests/support/temporary_folder.h"

namespace psagen::engine {
namespace {

namespace fs = std::filesystem;

const char* const kTinyModel = PSAGEN_SOURCE_DIR "/tests/data/tiny_model";

VideoRequest small_request() {
  VideoRequest request;
  request.prompt = "A red circle moves to the left";
  request.width = 64;
  request.height = 48;
  request.num_frames = 9;
  request.num_steps = 3;
  request.guidance_scale = 3.0;
  return request;
}

class TextToVideoRunTest : public ::testing::Test {
 protected:
  std::vector<std::uint8_t> run(const VideoRequest& request,
                                const ProgressCallback& progress = {}) {
    std::vector<std::uint8_t> frames;
    report_ = pipeline_.generate(
        request,
        [&frames](const Frame& frame) {
          frames.insert(frames.end(), frame.rgb.begin(), frame.rgb.end());
        },
        progress);
    return frames;
  }

  Context context_;
  TextToVideo pipeline_{
      kTinyModel, context_, {.prompt_cache = {}, .streamed_blocks = 0, .report_density = true}};
  RunReport report_;
};

TEST_F(TextToVideoRunTest, ReportsStagesAndSteps) {
  std::vector<std::int64_t> done_at_end(4, -1);
  const std::vector<std::uint8_t> frames = run(small_request(), [&](const Progress& progress) {
    done_at_end[static_cast<std::size_t>(progress.stage)] = progress.total - progress.done;
    return true;
  });
  EXPECT_EQ(frames.size(), 9u * 48u * 64u * 3u);
  EXPECT_THAT(done_at_end, ::testing::Each(0));
  ASSERT_EQ(report_.stages.size(), 4u);
  const Stage order[] = {Stage::kLoad, Stage::kEncodeText, Stage::kDenoise, Stage::kDecode};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(report_.stages[i].stage, order[i]);
    EXPECT_GT(report_.stages[i].peak_bytes, 0u);
  }
  ASSERT_EQ(report_.steps.size(), 3u);
  EXPECT_GT(report_.steps[0].sigma, report_.steps[1].sigma);
  EXPECT_FALSE(report_.steps[2].sparse);
  EXPECT_EQ(report_.steps[2].nominal_density, 1.0);
  EXPECT_EQ(report_.num_video_tokens, 3 * 3 * 4);
}

TEST_F(TextToVideoRunTest, TheSameSeedGivesTheSameFrames) {
  VideoRequest request = small_request();
  const std::vector<std::uint8_t> first = run(request);
  EXPECT_EQ(run(request), first);
  request.seed = 1;
  EXPECT_NE(run(request), first);
}

TEST_F(TextToVideoRunTest, TheNumberOfThreadsDoesNotMatter) {
  std::vector<std::vector<std::uint8_t>> results;
  for (const int num_threads : {1, 2, 3}) {
    Context context({.device = {}, .num_threads = num_threads});
    std::vector<std::uint8_t>& frames = results.emplace_back();
    TextToVideo(kTinyModel, context)
        .generate(small_request(),
                  [&frames](const Frame& frame) {
                    frames.insert(frames.end(), frame.rgb.begin(), frame.rgb.end());
                  },
                  {});
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

TEST_F(TextToVideoRunTest, GuidanceOfOneIgnoresTheNegativePrompt) {
  VideoRequest request = small_request();
  request.guidance_scale = 1.0;
  const std::vector<std::uint8_t> first = run(request);
  request.negative_prompt = "A blue square";
  EXPECT_EQ(run(request), first);
  request.guidance_scale = 3.0;
  EXPECT_NE(run(request), first);
}

TEST_F(TextToVideoRunTest, ReportsTheDensityOfSparseSteps) {
  VideoRequest request = small_request();
  request.width = 160;
  request.height = 160;  // 3 x 10 x 10 = 300 tokens, three key blocks
  request.attention.kind = AttentionKind::kPyramid;
  request.attention.psa.level_bounds = {0.34, 0.34, 0.34, 1.0};
  request.attention.warmup_steps = 1;
  run(request);
  EXPECT_FALSE(report_.steps[0].sparse);
  EXPECT_EQ(report_.steps[0].nominal_density, 1.0);
  for (std::size_t i = 1; i < 3; ++i) {
    EXPECT_TRUE(report_.steps[i].sparse);
    EXPECT_LT(report_.steps[i].nominal_density, 1.0);
    EXPECT_GT(report_.steps[i].nominal_density, 0.0);
    EXPECT_GE(report_.steps[i].executed_density, 0.0);
    // One head in each of two layers: the step's density is the mean of theirs.
    const std::vector<LayerDensity>& layers = report_.steps[i].layers;
    ASSERT_EQ(layers.size(), 2u);
    for (std::size_t layer = 0; layer < 2; ++layer) {
      EXPECT_EQ(layers[layer].layer, static_cast<std::int64_t>(layer));
      EXPECT_EQ(layers[layer].nominal.size(), 1u);
      EXPECT_EQ(layers[layer].executed.size(), 1u);
    }
    EXPECT_NEAR(report_.steps[i].nominal_density,
                (layers[0].nominal[0] + layers[1].nominal[0]) / 2.0, 1e-12);
    EXPECT_NEAR(report_.steps[i].executed_density,
                (layers[0].executed[0] + layers[1].executed[0]) / 2.0, 1e-12);
  }
  EXPECT_TRUE(report_.steps[0].layers.empty());
}

TEST_F(TextToVideoRunTest, SaysNothingOfDensitiesThatNobodyAskedFor) {
  VideoRequest request = small_request();
  request.width = 160;
  request.height = 160;
  request.num_steps = 2;
  request.attention.kind = AttentionKind::kPyramid;
  request.attention.warmup_steps = 1;
  TextToVideo pipeline(kTinyModel, context_);
  report_ = pipeline.generate(request, [](const Frame&) {}, {});
  ASSERT_EQ(report_.steps.size(), 2u);
  EXPECT_EQ(report_.steps[0].nominal_density, 1.0);
  EXPECT_TRUE(report_.steps[1].sparse);
  EXPECT_THAT(report_.steps[1].nominal_density, ::testing::IsNan());
  EXPECT_THAT(report_.steps[1].executed_density, ::testing::IsNan());
  EXPECT_TRUE(report_.steps[1].layers.empty());
}

TEST_F(TextToVideoRunTest, StopsInEveryStageWhenAsked) {
  for (const Stage stop : {Stage::kLoad, Stage::kEncodeText, Stage::kDenoise, Stage::kDecode}) {
    std::int64_t calls_after = 0;
    bool asked = false;
    try {
      run(small_request(), [&](const Progress& progress) {
        if (asked) ++calls_after;
        asked = asked || (progress.stage == stop && progress.done > 0);
        return !asked;
      });
      FAIL() << "went on after " << stage_name(stop);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCancelled);
      EXPECT_THAT(error.message(), ::testing::HasSubstr(stage_name(stop)));
    }
    EXPECT_EQ(calls_after, 0) << stage_name(stop);
  }
  EXPECT_EQ(run(small_request()).size(), 9u * 48u * 64u * 3u) << "a run after cancelled ones";
}

TEST_F(TextToVideoRunTest, APromptIsEncodedOnce) {
  const testing::TemporaryFolder folder;
  const auto run_kept = [&](std::int64_t& parts_loaded) {
    TextToVideo pipeline(
        kTinyModel, context_,
        {.prompt_cache = folder / "cache", .streamed_blocks = 0, .report_density = false});
    std::vector<std::uint8_t> frames;
    pipeline.generate(
        small_request(),
        [&frames](const Frame& frame) {
          frames.insert(frames.end(), frame.rgb.begin(), frame.rgb.end());
        },
        [&](const Progress& progress) {
          if (progress.stage == Stage::kLoad) parts_loaded = progress.total;
          return true;
        });
    return frames;
  };
  const std::vector<std::uint8_t> plain = run(small_request());
  std::int64_t first = 0, second = 0;
  EXPECT_EQ(run_kept(first), plain);
  EXPECT_EQ(run_kept(second), plain);
  EXPECT_EQ(first, 3);
  EXPECT_EQ(second, 2) << "the text encoder was loaded again";
}

TEST_F(TextToVideoRunTest, GivesItsMemoryBack) {
  run(small_request());
  EXPECT_EQ(context_.allocator().bytes_in_use(), 0u);
}

TEST(TextToVideoLoadTest, NamesAMissingWeightFileBeforeAnyWork) {
  const testing::TemporaryFolder folder;
  fs::copy(kTinyModel, folder / "model", fs::copy_options::recursive);
  fs::remove(folder / "model/vae/diffusion_pytorch_model.safetensors");
  Context context;
  try {
    const TextToVideo pipeline(folder / "model", context);
    FAIL() << "opened a model without VAE weights";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_THAT(error.message(), ::testing::HasSubstr("vae"));
  }
}

}  // namespace
}  // namespace psagen::engine
