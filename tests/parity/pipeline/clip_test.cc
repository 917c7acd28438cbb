// Whole clips of the default model on a GPU: those of the CPU, and the same ones whatever part of
// the model waits elsewhere. Skips where there is no GPU.
//
// PSAGEN_CLIPS: how many prompts of the gallery are held against the CPU, at full length (default:
// 2). PSAGEN_SOURCE: the repository, where it is not where it was compiled.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "engine/pipeline/open_context.h"
#include "engine/pipeline/text_to_video.h"
#include "tests/support/map_store.h"

namespace psagen::engine {
namespace {

namespace fs = std::filesystem;
using Frames = std::vector<std::uint8_t>;

fs::path source_folder() {
  const char* const given = std::getenv("PSAGEN_SOURCE");
  return given != nullptr ? given : PSAGEN_SOURCE_DIR;
}

std::vector<std::string> prompts(std::size_t count) {
  std::ifstream file(source_folder() / "configs/jobs/gallery_prompts.txt");
  std::vector<std::string> lines;
  for (std::string line; lines.size() < count && std::getline(file, line);)
    if (!line.empty() && line[0] != '#') lines.push_back(line);
  PSAGEN_CHECK(count > 0 && lines.size() == count, ErrorCode::kInvalidArgument, lines.size(),
               " prompts in the gallery, wanted ", count);
  return lines;
}

double psnr(const Frames& a, const Frames& b) {
  double squares = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i)
    squares += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
  return 10 * std::log10(255.0 * 255.0 * static_cast<double>(a.size()) / std::max(squares, 1e-9));
}

class ClipCuda : public ::testing::Test {
 protected:
  void SetUp() override {
    try {
      gpu(DType::kBF16);
    } catch (const Error& error) {
      GTEST_SKIP() << "needs a GPU: " << error.message();
    }
  }

  // All of a test choose the same algorithms.
  std::unique_ptr<Context> gpu(DType dtype) {
    return open_context(parse_device("cuda"), dtype, 0, store_);
  }

  // As the model's defaults have it.
  VideoRequest request(const std::string& prompt) const {
    const GenerationDefaults& defaults = config_.defaults;
    VideoRequest request;
    request.prompt = prompt;
    request.negative_prompt = defaults.negative_prompt;
    request.width = defaults.width;
    request.height = defaults.height;
    request.num_frames = defaults.num_frames;
    request.num_steps = defaults.num_steps;
    request.guidance_scale = defaults.guidance_scale;
    request.shift = defaults.shift;
    return request;
  }

  VideoRequest short_request() const {
    VideoRequest shorter = request(prompts(1).front());
    shorter.num_frames = 9;
    shorter.num_steps = 4;
    return shorter;
  }

  Frames clip(Context& context, const VideoRequest& request, const PipelineOptions& options = {}) {
    Frames frames;
    TextToVideo(model_, context, options)
        .generate(request,
                  [&frames](const Frame& frame) {
                    frames.insert(frames.end(), frame.rgb.begin(), frame.rgb.end());
                  },
                  {});
    return frames;
  }

  std::shared_ptr<testing::MapStore> store_ = std::make_shared<testing::MapStore>();
  fs::path model_ = source_folder() / "models/default";
  ModelConfig config_ = read_model_config(model_);
};

TEST_F(ClipCuda, IsTheOneOfTheCpu) {
  const char* const count = std::getenv("PSAGEN_CLIPS");
  Context cpu;
  for (const std::string& prompt : prompts(count != nullptr ? std::stoul(count) : 2)) {
    const Frames wanted = clip(cpu, request(prompt));
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      const Frames frames = clip(*gpu(dtype), request(prompt));
      ASSERT_EQ(frames.size(), wanted.size());
      const double decibels = psnr(frames, wanted);
      std::printf("%s: %.1f dB, %s\n", dtype_name(dtype), decibels, prompt.c_str());
      EXPECT_GE(decibels, dtype == DType::kF32 ? 60.0 : 40.0) << prompt;
    }
  }
}

TEST_F(ClipCuda, IsTheSameWithPartsOfTheModelElsewhere) {
  const Frames resident = clip(*gpu(DType::kBF16), short_request());
  EXPECT_EQ(clip(*gpu(DType::kBF16), short_request()), resident) << "not even of equal runs";
  PipelineOptions in_turn;
  in_turn.text_layers_in_turn = true;
  EXPECT_EQ(clip(*gpu(DType::kBF16), short_request(), in_turn), resident);
  for (const std::int64_t blocks : {3, 8}) {
    PipelineOptions streamed;
    streamed.streamed_blocks = blocks;
    EXPECT_EQ(clip(*gpu(DType::kBF16), short_request(), streamed), resident) << blocks;
  }
}

// Another size of a convolution is another choice of algorithms.
TEST_F(ClipCuda, DecodesTheSameFramesInParts) {
  const Frames whole = clip(*gpu(DType::kF32), short_request());
  for (const DecodeSplit& split :
       {DecodeSplit{.latent_frames_per_chunk = 1},
        DecodeSplit{.rows = 2, .columns = 3, .latent_frames_per_chunk = 1}}) {
    PipelineOptions options;
    options.decode_split = split;
    EXPECT_GE(psnr(clip(*gpu(DType::kF32), short_request(), options), whole), 60.0)
        << split.rows << " x " << split.columns;
  }
}

TEST_F(ClipCuda, StepsArePartsOfDenoising) {
  const std::unique_ptr<Context> context = gpu(DType::kBF16);
  const RunReport report =
      TextToVideo(model_, *context).generate(short_request(), [](const Frame&) {}, {});
  double steps = 0.0, denoise = 0.0;
  for (const StepReport& step : report.steps) {
    EXPECT_GT(step.seconds, 0.0);
    steps += step.seconds;
  }
  for (const StageReport& stage : report.stages)
    if (stage.stage == Stage::kDenoise) denoise = stage.seconds;
  EXPECT_LE(steps, denoise);
}

TEST_F(ClipCuda, StopsBetweenSteps) {
  const std::unique_ptr<Context> context = gpu(DType::kBF16);
  std::int64_t done = 0;
  try {
    TextToVideo(model_, *context)
        .generate(
            short_request(), [](const Frame&) {},
            [&done](const Progress& progress) {
              if (progress.stage == Stage::kDenoise) done = progress.done;
              return progress.stage != Stage::kDenoise || progress.done < 2;
            });
    FAIL() << "went on";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCancelled);
  }
  EXPECT_EQ(done, 2);
  // What the context keeps for its next run is let go first.
  context->workspace().trim();
  context->runtime()->release_unused();
  EXPECT_EQ(context->allocator().bytes_in_use(), 0u);
}

}  // namespace
}  // namespace psagen::engine
