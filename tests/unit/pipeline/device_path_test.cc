// What the pipeline does differently on a GPU, on one made of host memory: the frames must be those
// of the CPU but for the rounding of products that are cut differently.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>
#include <string>

#include "engine/pipeline/text_to_video.h"
#include "tests/support/expect_error.h"
#include "tests/support/host_runtime.h"

namespace psagen::engine {
namespace {

namespace fs = std::filesystem;

const fs::path kTinyModel = fs::path(PSAGEN_SOURCE_DIR) / "tests/data/tiny_model";

VideoRequest small_request() {
  VideoRequest request;
  request.prompt = "a red circle";
  request.negative_prompt = "a blue square";
  request.width = 64;
  request.height = 48;
  request.num_frames = 33;  // three chunks of the decoder
  request.num_steps = 4;
  request.guidance_scale = 3.0;
  return request;
}

std::vector<std::uint8_t> frames_of(Context& context, RunReport& report,
                                    std::vector<Stage>* stages = nullptr) {
  TextToVideo pipeline(kTinyModel, context);
  std::vector<std::uint8_t> frames;
  report = pipeline.generate(
      small_request(),
      [&frames](const Frame& frame) {
        frames.insert(frames.end(), frame.rgb.begin(), frame.rgb.end());
      },
      [stages](const Progress& progress) {
        if (stages != nullptr && (stages->empty() || stages->back() != progress.stage))
          stages->push_back(progress.stage);
        return true;
      });
  return frames;
}

double psnr(const std::vector<std::uint8_t>& a, const std::vector<std::uint8_t>& b) {
  double squares = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i)
    squares += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
  return 10 * std::log10(255.0 * 255.0 * static_cast<double>(a.size()) / std::max(squares, 1e-9));
}

TEST(DevicePath, GivesTheFramesOfTheCpu) {
  Context cpu;
  RunReport cpu_report, report;
  const std::vector<std::uint8_t> wanted = frames_of(cpu, cpu_report);
  const std::unique_ptr<Context> context = testing::make_host_runtime_context();
  std::vector<Stage> stages;
  const std::vector<std::uint8_t> frames = frames_of(*context, report, &stages);
  ASSERT_EQ(frames.size(), wanted.size());
  EXPECT_GE(psnr(frames, wanted), 60.0);
  EXPECT_EQ(report.steps.size(), 4u);
  double seconds = 0.0;
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(report.steps[i].sigma, cpu_report.steps[i].sigma) << i;
    EXPECT_GT(report.steps[i].seconds, 0.0) << i;
    seconds += report.steps[i].seconds;
  }
  EXPECT_LE(seconds, report.stages[2].seconds) << "steps are parts of denoising";
  // One of text encoder and denoiser at a time.
  EXPECT_THAT(stages, ::testing::ElementsAre(Stage::kLoad, Stage::kEncodeText, Stage::kLoad,
                                             Stage::kDenoise, Stage::kDecode));
  ASSERT_EQ(report.stages.size(), 4u) << "the two parts of a stage are one entry";
  EXPECT_EQ(cpu_report.stages[0].loaded_bytes, 0u);
  EXPECT_GT(report.stages[0].loaded_bytes, 100'000u);
  EXPECT_EQ(context->allocator().bytes_in_use(), 0u);
}

// The default model, whose eight blocks are enough for both slots to be used again and again.
std::vector<std::uint8_t> streamed_frames(std::int64_t streamed_blocks, std::uint64_t& fetched) {
  const std::unique_ptr<Context> context = testing::make_host_runtime_context();
  PipelineOptions options;
  options.streamed_blocks = streamed_blocks;
  TextToVideo pipeline(fs::path(PSAGEN_SOURCE_DIR) / "models/default", *context, options);
  VideoRequest request = small_request();
  request.num_frames = 5;
  request.num_steps = 2;
  std::vector<std::uint8_t> frames;
  pipeline.generate(request,
                    [&frames](const Frame& frame) {
                      frames.insert(frames.end(), frame.rgb.begin(), frame.rgb.end());
                    },
                    {});
  fetched = static_cast<testing::HostRuntime*>(context->runtime())->num_prefetches();
  return frames;
}

TEST(DevicePath, TextLayersInTurnGiveTheSameFrames) {
  const auto frames_with = [](bool in_turn, std::vector<std::size_t>& loaded) {
    const std::unique_ptr<Context> context = testing::make_host_runtime_context();
    PipelineOptions options;
    options.text_layers_in_turn = in_turn;
    TextToVideo pipeline(kTinyModel, *context, options);
    std::vector<std::uint8_t> frames;
    const RunReport report =
        pipeline.generate(small_request(),
                          [&frames](const Frame& frame) {
                            frames.insert(frames.end(), frame.rgb.begin(), frame.rgb.end());
                          },
                          {});
    for (const StageReport& stage : report.stages) loaded.push_back(stage.loaded_bytes);
    EXPECT_EQ(context->allocator().bytes_in_use(), 0u);
    return frames;
  };
  std::vector<std::size_t> loaded, in_turn;  // of each stage
  EXPECT_EQ(frames_with(true, in_turn), frames_with(false, loaded));
  EXPECT_EQ(loaded[1], 0u);
  EXPECT_GT(in_turn[1], 0u) << "layers are read while text is encoded";
  EXPECT_EQ(in_turn[0] + in_turn[1], loaded[0]);
}

TEST(DevicePath, StreamedBlocksGiveTheSameFrames) {
  std::uint64_t fetched = 0;
  const std::vector<std::uint8_t> resident = streamed_frames(0, fetched);
  EXPECT_EQ(fetched, 0u);
  for (const std::int64_t count : {2, 3, 5, 8}) {
    const std::vector<std::uint8_t> frames = streamed_frames(count, fetched);
    EXPECT_GE(psnr(frames, resident), 60.0) << count << " streamed blocks";
    // Two prompts, then two steps of two forwards pass through all of them.
    if (count == 2)
      EXPECT_LE(fetched, 2u) << "two blocks have a slot each";
    else
      EXPECT_GE(fetched, 6u * static_cast<std::uint64_t>(count - 2)) << count;
  }
}

TEST(DevicePath, TilesGiveTheSameFramesAndProgress) {
  RunReport report;
  std::vector<std::vector<std::uint8_t>> frames(2);
  for (const bool tiled : {false, true}) {
    const std::unique_ptr<Context> context = testing::make_host_runtime_context();
    PipelineOptions options;
    if (tiled) options.decode_split = {.rows = 2, .columns = 2, .latent_frames_per_chunk = 2};
    std::int64_t last = -1, total = 0;
    report =
        TextToVideo(kTinyModel, *context, options)
            .generate(
                small_request(),
                [&](const Frame& frame) {
                  frames[tiled].insert(frames[tiled].end(), frame.rgb.begin(), frame.rgb.end());
                },
                [&](const Progress& progress) {
                  if (progress.stage != Stage::kDecode) return true;
                  EXPECT_GT(progress.done, last);
                  last = progress.done;
                  total = progress.total;
                  return true;
                });
    EXPECT_EQ(last, total);
    EXPECT_EQ(total, small_request().num_frames);
    EXPECT_EQ(report.decode_split, options.decode_split);
    EXPECT_EQ(context->allocator().bytes_in_use(), 0u);
  }
  ASSERT_EQ(frames[1].size(), frames[0].size());
  EXPECT_GE(psnr(frames[1], frames[0]), 60.0);
}

// A clip for whose decode only `spare` bytes are left beside what is in use when it begins.
struct Decoded {
  std::vector<std::uint8_t> frames;
  DecodeSplit split;
  std::size_t spent = 0;  // the most that the decode took
};
constexpr std::size_t kPlenty = std::numeric_limits<std::size_t>::max();
Decoded decode_with(std::size_t spare, const PipelineOptions& options = {}) {
  const std::unique_ptr<Context> context = testing::make_host_runtime_context(1);
  VideoRequest request = small_request();
  request.width = 320;
  request.height = 256;
  request.num_frames = 9;
  request.num_steps = 1;
  Decoded decoded;
  std::size_t before = 0;
  TextToVideo pipeline(kTinyModel, *context, options);
  const RunReport report = pipeline.generate(
      request,
      [&decoded](const Frame& frame) {
        decoded.frames.insert(decoded.frames.end(), frame.rgb.begin(), frame.rgb.end());
      },
      [&](const Progress& progress) {
        if (progress.stage == Stage::kDecode && progress.done == 0 && before == 0) {
          before = context->allocator().bytes_in_use();
          context->allocator().reset_peak();
          auto& runtime = static_cast<testing::HostRuntime&>(*context->runtime());
          if (spare != kPlenty) runtime.set_memory(before + spare);
        }
        return true;
      });
  decoded.split = report.decode_split;
  decoded.spent = context->allocator().peak_bytes() - before;
  EXPECT_EQ(context->allocator().bytes_in_use(), 0u);
  return decoded;
}

TEST(DevicePath, DecodesInSmallerPartsWhereMemoryIsGone) {
  const DecodeSplit one_by_one = {.latent_frames_per_chunk = 1};
  const Decoded whole = decode_with(kPlenty);
  EXPECT_EQ(whole.split, DecodeSplit{});
  const Decoded chunks = decode_with(whole.spent - 1);
  EXPECT_EQ(chunks.split, one_by_one);
  PipelineOptions asked;
  asked.decode_split = one_by_one;
  const std::size_t spent_by_chunks = decode_with(kPlenty, asked).spent;
  ASSERT_LT(spent_by_chunks, whole.spent);
  const Decoded tiles = decode_with(spent_by_chunks - 1);
  EXPECT_TRUE(tiles.split.is_tiled());
  for (const Decoded& smaller : {chunks, tiles}) {
    ASSERT_EQ(smaller.frames.size(), whole.frames.size()) << "every frame once";
    EXPECT_GE(psnr(smaller.frames, whole.frames), 60.0);
  }
  testing::expect_error(ErrorCode::kOutOfMemory, {"no memory"}, [] { decode_with(1000); });
  testing::expect_error(ErrorCode::kOutOfMemory, {"no memory"}, [&] {
    PipelineOptions untiled;
    untiled.tiling = VaeTiling::kOff;
    decode_with(spent_by_chunks - 1, untiled);
  });
}

// What a profiler of the GPU sees.
TEST(DevicePath, DrawsStagesStepsBlocksAndOps) {
  const std::unique_ptr<Context> context = testing::make_host_runtime_context();
  RunReport report;
  frames_of(*context, report);
  const auto& ranges = static_cast<testing::HostRuntime*>(context->runtime())->ranges();
  EXPECT_EQ(ranges.num_open(), 0u);
  for (const char* path : {"load", "encode text/block 1/linear", "denoise/step 0/block 0/attention",
                           "denoise/step 3/block 1/linear", "denoise/step 3/elementwise",
                           "decode/chunk 0/conv3d", "decode/chunk 2/conv3d"})
    EXPECT_TRUE(ranges.paths().contains(path)) << path;
  EXPECT_FALSE(ranges.paths().contains("denoise/step 4")) << "steps are counted from 0";
}

TEST(DevicePath, TimesFamiliesOfOpsWhereAsked) {
  for (const bool wanted : {false, true}) {
    const std::unique_ptr<Context> context = testing::make_host_runtime_context();
    PipelineOptions options;
    options.report_zones = wanted;
    const RunReport report = TextToVideo(kTinyModel, *context, options)
                                 .generate(small_request(), [](const Frame&) {}, {});
    if (!wanted) {
      EXPECT_TRUE(report.zones.empty());
      continue;
    }
    double seconds = 0.0, stages = 0.0;
    std::set<std::string> names;
    for (const ZoneTime& zone : report.zones) {
      EXPECT_GT(zone.calls, 0) << zone.zone;
      names.insert(zone.zone);
      seconds += zone.seconds;
    }
    for (const StageReport& stage : report.stages) stages += stage.seconds;
    EXPECT_EQ(names,
              (std::set<std::string>{"attention", "conv3d", "elementwise", "linear", "norm"}));
    EXPECT_GT(seconds, 0.0);
    EXPECT_LT(seconds, stages);
  }
}

// Fetched behind the step that runs next, from memory that the next step writes again.
TEST(DevicePath, ReportsTheDensitiesOfTheCpu) {
  VideoRequest request = small_request();
  request.width = request.height = 160;
  request.num_frames = 9;
  request.attention.kind = AttentionKind::kPyramid;
  request.attention.psa.level_bounds = {0.34, 0.34, 0.34, 1.0};
  request.attention.warmup_steps = 1;
  PipelineOptions options;
  options.report_density = true;
  const auto steps_of = [&](Context& context) {
    return TextToVideo(kTinyModel, context, options)
        .generate(request, [](const Frame&) {}, {})
        .steps;
  };
  Context cpu;
  const std::vector<StepReport> wanted = steps_of(cpu);
  const std::vector<StepReport> found = steps_of(*testing::make_host_runtime_context());
  ASSERT_EQ(found.size(), wanted.size());
  EXPECT_EQ(found[0].nominal_density, 1.0);
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_NEAR(found[i].nominal_density, wanted[i].nominal_density, 1e-6) << i;
    ASSERT_EQ(found[i].layers.size(), i == 0 ? 0u : 2u);
    for (std::size_t layer = 0; layer < found[i].layers.size(); ++layer)
      EXPECT_NEAR(found[i].layers[layer].executed[0], wanted[i].layers[layer].executed[0], 0.05);
  }
}

TEST(DevicePath, StopsWhereAsked) {
  const std::unique_ptr<Context> context = testing::make_host_runtime_context();
  for (const Stage stop : {Stage::kLoad, Stage::kEncodeText, Stage::kDenoise, Stage::kDecode}) {
    bool asked = false;
    std::int64_t calls_after = 0;
    try {
      TextToVideo(kTinyModel, *context)
          .generate(
              small_request(), [](const Frame&) {},
              [&](const Progress& progress) {
                if (asked) ++calls_after;
                asked = asked || (progress.stage == stop && progress.done > 0);
                return !asked;
              });
      FAIL() << "went on after " << stage_name(stop);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCancelled);
    }
    EXPECT_EQ(calls_after, 0) << stage_name(stop);
    EXPECT_EQ(static_cast<testing::HostRuntime*>(context->runtime())->ranges().num_open(), 0u);
    context->workspace().trim();
    EXPECT_EQ(context->allocator().bytes_in_use(), 0u) << stage_name(stop);
  }
}

}  // namespace
}  // namespace psagen::engine
