#include "app/settings.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"

namespace psagen::app {
namespace {

using psagen::testing::expect_error;
using psagen::testing::TemporaryFolder;
using psagen::testing::write_text;

engine::ModelConfig sample_model() {
  engine::ModelConfig model;
  model.defaults.width = 320;
  model.defaults.height = 192;
  model.defaults.num_frames = 33;
  model.defaults.fps = 12.0;
  model.defaults.num_steps = 20;
  model.defaults.guidance_scale = 4.5;
  model.defaults.shift = 5.0;
  model.defaults.negative_prompt = "blurred";
  model.vae.dim_mult = {1, 2, 4, 4};
  model.vae.temporal_downsample = {false, true, true};
  return model;
}

TEST(Settings, OpenOnesComeFromTheModel) {
  GenerateOptions options;
  const engine::VideoRequest request = resolve_request(options, "x", sample_model());
  EXPECT_EQ(request.prompt, "x");
  EXPECT_EQ(request.negative_prompt, "blurred");
  EXPECT_EQ(request.width, 320);
  EXPECT_EQ(request.height, 192);
  EXPECT_EQ(request.num_frames, 33);
  EXPECT_EQ(request.num_steps, 20);
  EXPECT_EQ(request.guidance_scale, 4.5);
  EXPECT_EQ(request.shift, 5.0);
  EXPECT_EQ(request.solver, scheduler::SolverKind::kUniPC);
  EXPECT_EQ(request.attention.kind, engine::AttentionKind::kDense);
  EXPECT_EQ(resolve_fps(options, sample_model()), 12.0);
}

TEST(Settings, RecordRepeatsTheRequest) {
  GenerateOptions options;
  options.sampler = "euler";
  options.seed = 5;
  const engine::VideoRequest request = resolve_request(options, "x", sample_model());
  const GenerateOptions record = record_of(request, 12.0);
  for (const Field<GenerateOptions>& field : generate_table()) {
    EXPECT_EQ(is_given(record, field), field.text.scope == Scope::kRecord) << field.text.name;
  }
  engine::ModelConfig other;
  other.vae = sample_model().vae;
  const engine::VideoRequest again = resolve_request(record, *record.prompt, other);
  EXPECT_EQ(again.width, request.width);
  EXPECT_EQ(again.num_frames, request.num_frames);
  EXPECT_EQ(again.negative_prompt, request.negative_prompt);
  EXPECT_EQ(again.solver, request.solver);
  EXPECT_EQ(again.seed, 5U);
}

TEST(Settings, AttentionIsChosenByTheLengthOfTheClip) {
  GenerateOptions options;
  EXPECT_EQ(asked_attention(options), "auto");
  EXPECT_EQ(record_of(resolve_request(options, "x", sample_model()), 12.0).attention, "dense");
  options.size = FrameSize{832, 480};
  options.frames = 81;  // 32,760 tokens
  EXPECT_EQ(record_of(resolve_request(options, "x", sample_model()), 12.0).attention,
            "psa:balanced");
  options.attention = "dense";
  EXPECT_EQ(resolve_request(options, "x", sample_model()).attention.kind,
            engine::AttentionKind::kDense);
}

TEST(Settings, SecondsBecomeTheNearestFrameCount) {
  const auto frames = [](double seconds, double fps) {
    GenerateOptions options;
    options.seconds = seconds;
    options.fps = fps;
    return resolve_request(options, "x", sample_model()).num_frames;
  };
  EXPECT_EQ(frames(5.0, 16.0), 81);  // 80 is between 77 and 81
  EXPECT_EQ(frames(2.0, 16.0), 33);
  EXPECT_EQ(frames(1.0, 10.0), 9);
  EXPECT_EQ(frames(0.0, 16.0), 1);
  EXPECT_EQ(frames(0.01, 16.0), 1);
}

TEST(Settings, EveryRunDrawsItsOwnSeed) {
  std::set<std::uint64_t> seeds;
  for (int i = 0; i < 16; ++i) seeds.insert(resolve_request({}, "x", sample_model()).seed);
  EXPECT_GT(seeds.size(), 14U);  // 32 bits: two equal ones among 16 come once in 36 million runs
  EXPECT_LE(*seeds.rbegin(), 0xFFFFFFFFU);
}

TEST(Settings, PromptFileLosesMarkAndTrailingSpace) {
  const TemporaryFolder folder;
  GenerateOptions options;
  options.prompt_file = (folder / "prompt.txt").string();
  expect_error(ErrorCode::kNotFound, {"prompt.txt"}, [&] { resolve_prompt(options); });
  write_text(folder / "prompt.txt", "\xEF\xBB\xBF a red\ncircle \r\n\n");
  EXPECT_EQ(resolve_prompt(options), " a red\ncircle");
  write_text(folder / "prompt.txt", " \n");
  expect_error(ErrorCode::kInvalidArgument, {"empty"}, [&] { resolve_prompt(options); });
  write_text(folder / "prompt.txt", std::string((1 << 20) + 1, 'x'));
  expect_error(ErrorCode::kInvalidArgument, {"1 MiB"}, [&] { resolve_prompt(options); });
}

TEST(Settings, FlagsGoOverConfigAndConfigOverTheRecord) {
  const TemporaryFolder folder;
  RunRecord record;
  record.settings.steps = 1;
  record.settings.frames = 5;
  record.settings.cfg = 1.0;
  record.settings.prompt = "record";
  write_text(folder / "from.json", to_json(record));
  write_text(folder / "run.json", R"({"steps": 2, "seconds": 3, "prompt": "config"})");
  GenerateOptions flags;
  flags.steps = 3;
  flags.prompt_file = "elsewhere";
  flags.config = (folder / "run.json").string();
  flags.from = (folder / "from.json").string();
  const GivenOptions given = gather_options(flags);
  EXPECT_EQ(given.options.steps, 3);
  EXPECT_EQ(given.options.cfg, 1.0);
  EXPECT_EQ(given.options.seconds, 3.0);
  EXPECT_FALSE(given.options.frames);
  EXPECT_FALSE(given.options.prompt);
  EXPECT_TRUE(given.record);
}

}  // namespace
}  // namespace psagen::app
