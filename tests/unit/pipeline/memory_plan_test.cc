#include "engine/pipeline/memory_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/expect_error.h"
#include "tests/support/host_runtime.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/write_checkpoint.h"

namespace psagen::engine {
namespace {

namespace fs = std::filesystem;

const fs::path kTinyModel = fs::path(PSAGEN_SOURCE_DIR) / "tests/data/tiny_model";

VideoRequest tiny_request(std::int64_t frames) {
  VideoRequest request;
  request.prompt = "a red circle";
  request.width = request.height = 256;
  request.num_frames = frames;
  request.num_steps = 20;
  request.guidance_scale = 3.0;
  return request;
}

ContextOptions gpu(DType dtype) {
  ContextOptions options;
  options.device = {DeviceKind::kCuda, 0};
  options.compute_dtype = dtype;
  return options;
}

MemoryPlan plan_of(std::int64_t frames, DType dtype) {
  return MemoryPlanner(kTinyModel, tiny_request(frames), gpu(dtype)).plan();
}

std::size_t stage_bytes(const MemoryPlan& plan, Stage stage) {
  for (const StageMemory& entry : plan.stages)
    if (entry.stage == stage) return entry.bytes;
  return 0;
}

TEST(MemoryPlan, CountsEveryTensorOfAStage) {
  const MemoryPlan plan = plan_of(17, DType::kBF16);
  ASSERT_EQ(plan.stages.size(), 3u);
  // Five latent frames of 32 x 32 are 1,280 tokens of 128 channels: x is float32; h, q, k, v are
  // bfloat16; rope tables are two of 64 float32.
  const std::size_t tokens = 1280;
  const std::size_t largest = tokens * (128 * (4 + 4 * 2) + 2 * 64 * 4);
  EXPECT_GT(stage_bytes(plan, Stage::kDenoise), largest);
  EXPECT_LT(stage_bytes(plan, Stage::kDenoise), 3 * largest);
  EXPECT_GT(stage_bytes(plan, Stage::kEncodeText), 384u * 32u * 2u) << "the token table alone";
  // 17 frames of 256 x 256 pass through four channels at full size, in a chunk of four latents.
  EXPECT_GT(stage_bytes(plan, Stage::kDecode), 16u * 256u * 256u * 4u * 2u);
  EXPECT_EQ(plan.peak(), plan.reserve + std::max({stage_bytes(plan, Stage::kEncodeText),
                                                  stage_bytes(plan, Stage::kDenoise),
                                                  stage_bytes(plan, Stage::kDecode)}));
}

TEST(MemoryPlan, GrowsWithFramesAndElements) {
  const auto denoise = [](std::int64_t frames, DType dtype) {
    return stage_bytes(plan_of(frames, dtype), Stage::kDenoise);
  };
  EXPECT_GT(denoise(33, DType::kBF16), denoise(17, DType::kBF16));
  EXPECT_GT(denoise(17, DType::kF32), denoise(17, DType::kBF16));
  EXPECT_EQ(denoise(17, DType::kF16), denoise(17, DType::kBF16));
}

// A GPU stores the means of 2, 4 and 8 tokens, in the type of the keys.
TEST(MemoryPlan, CountsThePyramidAndTheLevels) {
  VideoRequest request = tiny_request(17);  // 1,280 tokens, one head of 128
  const auto denoise = [&] {
    return stage_bytes(MemoryPlanner(kTinyModel, request, gpu(DType::kBF16)).plan(),
                       Stage::kDenoise);
  };
  const std::size_t dense = denoise();
  request.attention.kind = AttentionKind::kPyramid;
  request.attention.psa.key_block = 128;
  request.attention.reorder_tokens = true;
  const std::size_t rows = 10 * (64 + 32 + 16);
  const std::size_t pyramid = rows * (2 * 128 * 2 + 4);
  const std::size_t levels = 10 * 10 + 10 * 4;    // a byte a pair, an index a query block
  const std::size_t order = 1280 * 4;             // of the tokens
  const std::size_t density = 2 * 2 * 2 * 1 * 4;  // forwards, layers, kinds, heads
  EXPECT_EQ(denoise() - dense, pyramid + levels + order + density);
  // Kept for both layers, and for both forwards where each has its own, with the head's density.
  request.attention.reuse_across_guidance = true;
  EXPECT_EQ(denoise() - dense, pyramid + 2 * (levels + 4) + order + density);
  request.attention.reuse_across_guidance = false;
  request.attention.reuse_steps = 2;
  EXPECT_EQ(denoise() - dense, pyramid + 4 * (levels + 4) + order + density);
  request.guidance_scale = 1.0;
  const std::size_t kept = denoise();
  request.attention.reuse_steps = 1;
  EXPECT_EQ(kept - denoise(), levels + 2 * 4);
}

TEST(MemoryPlan, NamesTheMostFramesThatFit) {
  // Before it refuses, the planner cuts what it may: without tiles, chunks of one latent frame.
  const auto peak = [](std::int64_t frames) {
    return MemoryPlanner(kTinyModel, tiny_request(frames), gpu(DType::kBF16))
        .plan(0, {.latent_frames_per_chunk = 1})
        .peak();
  };
  const std::size_t available = peak(201);
  ASSERT_LT(available, peak(205)) << "frames cost nothing: the test needs more of them";
  const MemoryPlanner planner(kTinyModel, tiny_request(801), gpu(DType::kBF16), VaeTiling::kOff);
  EXPECT_EQ(planner.fit(peak(801)).peak(), peak(801));
  testing::expect_error(ErrorCode::kOutOfMemory, {"GB of GPU memory", "stage '", "--frames 201"},
                        [&] { planner.fit(available); });
  testing::expect_error(ErrorCode::kOutOfMemory, {"no number of frames", "--device cpu"},
                        [&] { planner.fit(1000); });
}

// The default model's eight blocks are most of its denoiser.
TEST(MemoryPlan, StreamsTheFewestBlocksThatMakeItFit) {
  const fs::path model = fs::path(PSAGEN_SOURCE_DIR) / "models/default";
  VideoRequest request = tiny_request(1);
  request.width = request.height = 32;
  const MemoryPlanner planner(model, request, gpu(DType::kBF16));
  const MemoryPlan whole = planner.plan(), five = planner.plan(5), all = planner.plan(8);
  EXPECT_LT(five.peak(), whole.peak());
  EXPECT_LT(all.peak(), five.peak());
  EXPECT_LT(whole.host_bytes, std::size_t{1} << 20);
  EXPECT_GT(all.host_bytes, 8u * 1'000'000u * 2u) << "eight blocks of a million weights";
  EXPECT_EQ(planner.fit(whole.peak()).streamed_blocks, 0);
  EXPECT_EQ(planner.fit(whole.peak() - 1).streamed_blocks, 3);
  EXPECT_EQ(planner.fit(five.peak()).streamed_blocks, 5);
  EXPECT_EQ(planner.fit(five.peak() - 1).streamed_blocks, 6);
  EXPECT_EQ(planner.fit(all.peak()).streamed_blocks, 8);
}

TEST(MemoryPlan, RefusesBlocksThatTheHostDoesNotHold) {
  const fs::path model = fs::path(PSAGEN_SOURCE_DIR) / "models/default";
  VideoRequest request = tiny_request(1);
  request.width = request.height = 32;
  const MemoryPlanner planner(model, request, gpu(DType::kBF16));
  const MemoryPlan five = planner.plan(5), four = planner.plan(4), whole = planner.plan();
  planner.check_host(five, five.host_bytes);
  planner.check_host(whole, 0);  // none of them is there
  const std::string gpu_bytes = concat(std::ceil(static_cast<double>(four.peak()) / 1e7) / 100.0);
  testing::expect_error(
      ErrorCode::kOutOfMemory,
      {"page-locked host memory", concat("with ", gpu_bytes, " GB of GPU memory")},
      [&] { planner.check_host(five, five.host_bytes - 1); });
  testing::expect_error(ErrorCode::kOutOfMemory, {"there are 0 GB"},
                        [&] { planner.check_host(five, 0); });
}

// The default model with twenty layers of text encoder, which then takes more than its denoiser;
// as many layers are in its file.
void write_model_with_much_text(const fs::path& folder, int layers_in_file = 20) {
  const fs::path model = fs::path(PSAGEN_SOURCE_DIR) / "models/default";
  for (const fs::directory_entry& entry : fs::directory_iterator(model))
    if (entry.path().filename() != "text_encoder")
      fs::create_symlink(entry.path(), folder / entry.path().filename());
  fs::create_directory(folder / "text_encoder");
  std::ifstream found(model / "text_encoder/config.json");
  nlohmann::json config = nlohmann::json::parse(found);
  config["num_layers"] = 20;
  std::ofstream(folder / "text_encoder/config.json") << config;
  const std::int64_t d = config["d_model"], heads = config["num_heads"], ff = config["d_ff"];
  const std::int64_t inner = heads * config["d_kv"].get<std::int64_t>();
  std::map<std::string, Shape> shapes = {{"shared.weight", {config["vocab_size"], d}},
                                         {"encoder.final_layer_norm.weight", {d}}};
  for (int n = 0; n < layers_in_file; ++n) {
    const std::string block = concat("encoder.block.", n, ".layer.");
    for (const char* name : {"q", "k", "v"})
      shapes[concat(block, "0.SelfAttention.", name, ".weight")] = {inner, d};
    shapes[block + "0.SelfAttention.o.weight"] = {d, inner};
    shapes[block + "0.SelfAttention.relative_attention_bias.weight"] = {32, heads};
    for (const char* name : {"wi_0", "wi_1"})
      shapes[concat(block, "1.DenseReluDense.", name, ".weight")] = {ff, d};
    shapes[block + "1.DenseReluDense.wo.weight"] = {d, ff};
    for (const char* name : {"0", "1"}) shapes[concat(block, name, ".layer_norm.weight")] = {d};
  }
  testing::write_formula_safetensors(folder / "text_encoder/model.safetensors", shapes,
                                     DType::kBF16);
}

TEST(MemoryPlan, ReadsTextLayersInTurnWhereTheyDoNotFit) {
  const testing::TemporaryFolder folder;
  write_model_with_much_text(folder.path());
  VideoRequest request = tiny_request(1);
  request.width = request.height = 32;
  const MemoryPlanner planner(folder.path(), request, gpu(DType::kBF16));
  const MemoryPlan whole = planner.plan(), in_turn = planner.plan(0, {}, true);
  ASSERT_EQ(whole.peak(), stage_bytes(whole, Stage::kEncodeText) + whole.reserve)
      << "another stage takes more";
  const std::size_t layer = 4 * 256 * 256 * 2 + 3 * 256 * 512 * 2;
  EXPECT_GE(stage_bytes(whole, Stage::kEncodeText),
            stage_bytes(in_turn, Stage::kEncodeText) + 19 * layer);
  EXPECT_EQ(stage_bytes(whole, Stage::kDenoise), stage_bytes(in_turn, Stage::kDenoise));
  EXPECT_FALSE(planner.fit(whole.peak()).text_layers_in_turn);
  const MemoryPlan less = planner.fit(whole.peak() - 1);
  EXPECT_TRUE(less.text_layers_in_turn);
  EXPECT_EQ(less.streamed_blocks, 0);
  const MemoryPlan least = planner.fit(in_turn.peak() - 1);  // the denoiser's turn
  EXPECT_TRUE(least.text_layers_in_turn);
  EXPECT_GT(least.streamed_blocks, 0);
}

TEST(MemoryPlan, TextLayersInTurnAreCheckedAsOthers) {
  for (const int layers : {19, 21}) {
    const testing::TemporaryFolder folder;
    write_model_with_much_text(folder.path(), layers);
    const MemoryPlanner planner(folder.path(), tiny_request(1), gpu(DType::kBF16));
    for (const bool in_turn : {false, true})
      testing::expect_error(layers < 20 ? ErrorCode::kNotFound : ErrorCode::kInvalidArgument,
                            {"text_encoder", layers < 20 ? "encoder.block.19" : "encoder.block.20"},
                            [&] { planner.plan(0, {}, in_turn); });
  }
}

std::size_t decode_peak(const MemoryPlan& plan) {
  return stage_bytes(plan, Stage::kDecode) + plan.reserve;
}

TEST(MemoryPlan, DecodesInTheFewestTilesThatFit) {
  // So few frames that decoding them takes more than making them.
  VideoRequest request = tiny_request(5);
  request.width = request.height = 512;
  const MemoryPlanner planner(kTinyModel, request, gpu(DType::kBF16));
  const MemoryPlan whole = planner.plan();
  ASSERT_EQ(whole.peak(), decode_peak(whole)) << "another stage takes more";
  EXPECT_EQ(whole.decode_split, DecodeSplit{});
  EXPECT_EQ(planner.fit(whole.peak()).decode_split, DecodeSplit{});
  // A chunk of one latent frame is tried before tiles.
  const MemoryPlan chunks = planner.fit(whole.peak() - 1);
  EXPECT_EQ(chunks.decode_split, DecodeSplit{.latent_frames_per_chunk = 1});
  const MemoryPlan halves = planner.fit(chunks.peak() - 1);
  EXPECT_EQ(halves.decode_split, (DecodeSplit{.columns = 2, .latent_frames_per_chunk = 1}));
  EXPECT_LT(decode_peak(halves), decode_peak(chunks));
  const MemoryPlan quarters = planner.fit(decode_peak(halves) - 1);
  EXPECT_EQ(quarters.decode_split,
            (DecodeSplit{.rows = 2, .columns = 2, .latent_frames_per_chunk = 1}));
  EXPECT_LT(decode_peak(quarters), decode_peak(halves));
}

TEST(MemoryPlan, TilesWhereAskedToAndOnlyThere) {
  VideoRequest request = tiny_request(5);
  request.width = request.height = 512;
  const auto planner = [&request](VaeTiling tiling) {
    return MemoryPlanner(kTinyModel, request, gpu(DType::kBF16), tiling);
  };
  const MemoryPlan tiled = planner(VaeTiling::kOn).plan();
  EXPECT_EQ(tiled.decode_split, (DecodeSplit{.rows = 2, .columns = 2}));
  EXPECT_LT(decode_peak(tiled), decode_peak(planner(VaeTiling::kOff).plan()));
  const MemoryPlan chunks =
      planner(VaeTiling::kOff).fit(decode_peak(planner(VaeTiling::kOff).plan()) - 1);
  EXPECT_EQ(chunks.decode_split, DecodeSplit{.latent_frames_per_chunk = 1});
  testing::expect_error(ErrorCode::kOutOfMemory,
                        {"stage 'decode'", "without --vae-tiling off it would fit"},
                        [&] { planner(VaeTiling::kOff).fit(decode_peak(chunks) - 1); });
}

// The most that each stage takes on a device of host memory, whose ops take scratch memory too.
TEST(MemoryPlan, IsWhatARunTakes) {
  VideoRequest request = tiny_request(9);
  request.width = 320;
  request.height = 256;
  request.num_steps = 1;
  for (const DecodeSplit& split :
       {DecodeSplit{}, DecodeSplit{.latent_frames_per_chunk = 1},
        DecodeSplit{.rows = 2, .columns = 2},
        DecodeSplit{.rows = 3, .columns = 2, .latent_frames_per_chunk = 1}}) {
    SCOPED_TRACE(concat(split.rows, " x ", split.columns));
    const std::unique_ptr<Context> context = testing::make_host_runtime_context(1);
    PipelineOptions options;
    options.decode_split = split;
    std::size_t scratch = 0;
    TextToVideo(kTinyModel, *context, options)
        .generate(
            request, [](const Frame&) {},
            [&](const Progress& progress) {
              if (progress.stage == Stage::kDecode && progress.done == 0)
                context->allocator().reset_peak();
              scratch = context->workspace().capacity();
              return true;
            });
    const std::size_t taken = context->allocator().peak_bytes();
    const std::size_t planned = stage_bytes(
        MemoryPlanner(kTinyModel, request, gpu(DType::kF32)).plan(0, split), Stage::kDecode);
    EXPECT_LE(planned, taken);
    // The reserve of a plan is for scratch memory; packed weights are not where the plan has them.
    EXPECT_LE(static_cast<double>(taken), 1.02 * static_cast<double>(planned + scratch));
  }
}

}  // namespace
}  // namespace psagen::engine
