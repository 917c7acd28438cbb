#include "engine/config/attention_config.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "engine/config/attention_presets.h"
#include "kernels/core/error.h"
#include "kernels/psa/level_allocation.h"
#include "tests/support/temporary_folder.h"

namespace psagen::engine {
namespace {

using kernels::ImportanceEstimator;
using kernels::LevelSelection;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string message_of(const std::string& spec) {
  try {
    parse_attention(spec);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.message();
  }
  return "no error";
}

std::string preset_message(const std::string& json) {
  try {
    parse_attention_preset(json, "mine.json");
  } catch (const Error& error) {
    return error.message();
  }
  return "no error";
}

std::string preset_with(const std::string& fields) {
  return R"({"key_block": 64, "selection": "quota", "level_bounds": [0.1, 0.15, 0.15, 0.35])" +
         fields + "}";
}

double budget(const std::array<double, 4>& bounds) {
  return bounds[0] + (bounds[1] - bounds[0]) / 2 + (bounds[2] - bounds[1]) / 4 +
         (bounds[3] - bounds[2]) / 8;
}

TEST(AttentionConfig, DenseIsDense) {
  const AttentionConfig config = parse_attention("dense");
  EXPECT_EQ(config.kind, AttentionKind::kDense);
  EXPECT_EQ(config.spec, "dense");
}

TEST(AttentionConfig, PlainNamesTakeTheirDefaults) {
  const AttentionConfig psa = parse_attention("psa"), balanced = parse_attention("psa:balanced");
  EXPECT_EQ(psa.spec, "psa");
  EXPECT_EQ(psa.kind, AttentionKind::kPyramid);
  EXPECT_EQ(psa.psa.level_bounds, balanced.psa.level_bounds);
  EXPECT_NEAR(budget(psa.psa.level_bounds), 0.15, 1e-12);
  EXPECT_EQ(psa.psa.estimator, ImportanceEstimator::kStaggered);
  EXPECT_EQ(parse_attention("psa:fast").psa.estimator, ImportanceEstimator::kPooledLogSumExp);
  EXPECT_TRUE(psa.reorder_tokens);
  EXPECT_THAT(parse_attention("block-sparse").psa.level_bounds, Each(0.15));
}

TEST(AttentionConfig, EveryPresetFileIsCompiledInAndNoOther) {
  std::vector<std::string> files;
  for (const auto& entry :
       std::filesystem::directory_iterator(PSAGEN_SOURCE_DIR "/configs/attention")) {
    files.push_back(entry.path().stem().string());
    std::ifstream file(entry.path());
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const auto presets = attention_presets();
    const auto found = std::find_if(presets.begin(), presets.end(), [&](const auto& preset) {
      return files.back() == preset.name;
    });
    ASSERT_NE(found, presets.end()) << files.back();
    EXPECT_EQ(text, found->json) << files.back();
  }
  std::sort(files.begin(), files.end());
  EXPECT_EQ(files, attention_preset_names());
}

// Spec psa.md, table 5.2.
TEST(AttentionConfig, OfficialPresets) {
  struct Row {
    std::string name;
    int key_block;
    LevelSelection selection;
    std::array<double, 4> bounds;
    bool reorder, cap;
    std::int64_t warmup_steps;
  };
  constexpr LevelSelection kThreshold = LevelSelection::kThreshold, kQuota = LevelSelection::kQuota;
  const Row rows[] = {
      {"wan2.1-14b-balanced", 128, kThreshold, {.40, .50, .60, .80}, true, false, 15},
      {"wan2.1-1.3b-balanced", 128, kThreshold, {.50, .60, .70, .80}, true, true, 15},
      {"wan2.1-1.3b-topk", 32, kQuota, {.05, .10, .15, .25}, true, false, 15},
      {"wan2.2-a14b-balanced", 32, kThreshold, {.50, .60, .60, .80}, true, false, 12},
      {"wan2.2-5b-balanced", 32, kThreshold, {.60, .70, .70, .80}, true, false, 15},
      {"cogvideo1.5-5b-balanced", 32, kQuota, {.10, .15, .15, .35}, true, false, 15},
      {"cogvideo-5b-balanced", 128, kQuota, {.10, .15, .15, .35}, false, false, 15},
      {"cogvideo-5b-4steps", 128, kQuota, {.05, .15, .25, .50}, false, false, 0},
      {"plug-and-play", 64, kQuota, {.10, .15, .15, .35}, false, false, 0},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    const AttentionConfig config = parse_attention("psa:" + row.name);
    EXPECT_EQ(config.psa.query_block, 128);
    EXPECT_EQ(config.psa.key_block, row.key_block);
    EXPECT_EQ(config.psa.selection, row.selection);
    EXPECT_EQ(config.psa.level_bounds, row.bounds);
    EXPECT_EQ(config.psa.estimator, ImportanceEstimator::kSampled);
    EXPECT_EQ(config.psa.min_full_ratio, 0.06);
    EXPECT_EQ(config.psa.similarity_cap, row.cap);
    EXPECT_THAT(config.psa.similarity_thresholds, ElementsAre(0.70, 0.65, 0.60));
    EXPECT_EQ(config.reorder_tokens, row.reorder);
    EXPECT_EQ(config.warmup_steps, row.warmup_steps);
  }
}

TEST(AttentionConfig, OurPresetsSpendWhatTheySay) {
  EXPECT_NEAR(budget(parse_attention("psa:fast").psa.level_bounds), 0.10, 1e-9);
  EXPECT_NEAR(budget(parse_attention("psa:balanced").psa.level_bounds), 0.15, 1e-9);
  EXPECT_NEAR(budget(parse_attention("psa:quality").psa.level_bounds), 0.30, 1e-9);
  const kernels::PsaParams uniform = parse_attention("psa:uniform").psa;
  EXPECT_EQ(uniform.estimator, ImportanceEstimator::kUniform);
  EXPECT_EQ(uniform.level_bounds, parse_attention("psa:balanced").psa.level_bounds);
  for (const auto& [name, density] : {std::pair{"density-0.10", 0.10},
                                      {"density-0.15", 0.15},
                                      {"density-0.20", 0.20},
                                      {"density-0.30", 0.30},
                                      {"density-0.50", 0.50}})
    EXPECT_THAT(parse_attention(std::string("block-sparse:") + name).psa.level_bounds,
                Each(density));
}

// The default model's clips have 2,304 tokens: few blocks, whose whole numbers must still come near
// the budget.
TEST(AttentionConfig, QuotasComeNearTheirBudgetOnShortSequences) {
  for (const std::string name : {"fast", "balanced", "quality"}) {
    const kernels::PsaParams psa = parse_attention("psa:" + name).psa;
    const std::int64_t blocks = 2304 / psa.key_block;
    const kernels::LevelEnds ends = kernels::quota_level_ends(blocks, psa);
    std::array<double, 4> shares{};
    for (std::size_t i = 0; i < 4; ++i)
      shares[i] = static_cast<double>(ends[i]) / static_cast<double>(blocks);
    EXPECT_NEAR(budget(shares) / budget(psa.level_bounds), 1.0, 0.2) << name;
    EXPECT_GT(ends[3], ends[0]) << name << " pools nothing";
  }
}

TEST(AttentionConfig, BlockSparseSpendsTheBudgetOnFullResolution) {
  for (const std::string name : {"balanced", "fast", "wan2.1-1.3b-topk"}) {
    const AttentionConfig pyramid = parse_attention("psa:" + name);
    const AttentionConfig binary = parse_attention("block-sparse:" + name);
    EXPECT_THAT(binary.psa.level_bounds,
                Each(::testing::DoubleNear(budget(pyramid.psa.level_bounds), 1e-12)));
    EXPECT_EQ(binary.psa.key_block, pyramid.psa.key_block);
    EXPECT_EQ(binary.warmup_steps, pyramid.warmup_steps);
  }
  EXPECT_THAT(message_of("block-sparse:wan2.1-14b-balanced"), HasSubstr("threshold"));
}

TEST(AttentionConfig, OverridesSayWhereAndWhat) {
  const AttentionConfig config = parse_attention_preset(preset_with(R"(, "overrides": [
        {"layers": [0, [2, 5]], "attention": "dense"},
        {"heads": [1], "steps": [[10, 19]], "level_bounds": [0.5, 0.5, 0.5, 0.75]}])"),
                                                        "mine.json");
  ASSERT_EQ(config.overrides.size(), 2u);
  const AttentionOverride &dense = config.overrides[0], &bounds = config.overrides[1];
  EXPECT_TRUE(dense.is_dense());
  for (const std::int64_t layer : {0, 2, 5}) EXPECT_TRUE(dense.matches(layer, 7, 7)) << layer;
  for (const std::int64_t layer : {1, 6}) EXPECT_FALSE(dense.matches(layer, 7, 7)) << layer;
  EXPECT_FALSE(bounds.is_dense());
  EXPECT_THAT(bounds.level_bounds, ElementsAre(0.5, 0.5, 0.5, 0.75));
  EXPECT_TRUE(bounds.matches(3, 1, 10));
  EXPECT_FALSE(bounds.matches(3, 1, 20));
  EXPECT_FALSE(bounds.matches(3, 0, 10));
}

TEST(AttentionConfig, OverrideErrorsNameTheEntry) {
  for (const auto& [entry, place] : {
           std::pair{R"({"attention": "dense"})", "overrides[0]"},
           {R"({"layers": [], "attention": "dense"})", "overrides[0].layers"},
           {R"({"layers": [-1], "attention": "dense"})", "overrides[0].layers[0]"},
           {R"({"heads": [[3, 2]], "attention": "dense"})", "overrides[0].heads[0]"},
           {R"({"heads": [[1, 2, 3]], "attention": "dense"})", "overrides[0].heads[0]"},
           {R"({"steps": ["1"], "attention": "dense"})", "overrides[0].steps[0]"},
           {R"({"layers": [1]})", "\"attention\" or \"level_bounds\""},
           {R"({"layers": [1], "attention": "dense", "level_bounds": [0, 0, 0, 1]})",
            "\"attention\" or \"level_bounds\""},
           {R"({"layers": [1], "attention": "psa"})", "overrides[0].attention"},
           {R"({"layers": [1], "level_bounds": [0.5, 0.4, 0.6, 0.7]})", "0.4 follows 0.5"},
           {R"({"layers": [1], "level_bounds": [0.5, 0.6, 0.6, 1.7]})", "level_bounds"},
           {R"({"layer": [1], "attention": "dense"})", "layer"},
       }) {
    const std::string message =
        preset_message(preset_with(concat(R"(, "overrides": [)", entry, "]")));
    EXPECT_THAT(message, HasSubstr("mine.json")) << entry;
    EXPECT_THAT(message, HasSubstr("overrides[0]")) << entry;
    EXPECT_THAT(message, HasSubstr(place)) << entry;
  }
}

TEST(AttentionConfig, LevelsAreNotReusedUnlessAskedFor) {
  const AttentionConfig plain = parse_attention("psa");
  EXPECT_FALSE(plain.reuse_across_guidance);
  EXPECT_EQ(plain.reuse_steps, 1);
  const AttentionConfig config = parse_attention_preset(
      preset_with(R"(, "reuse_across_guidance": true, "reuse_steps": 3)"), "mine.json");
  EXPECT_TRUE(config.reuse_across_guidance);
  EXPECT_EQ(config.reuse_steps, 3);
  EXPECT_THAT(preset_message(preset_with(R"(, "reuse_steps": 0)")), HasSubstr("reuse_steps"));
}

TEST(AttentionConfig, TheUniformEstimatorNeedsQuotas) {
  const AttentionConfig config =
      parse_attention_preset(preset_with(R"(, "estimator": "uniform")"), "mine.json");
  EXPECT_EQ(config.psa.estimator, ImportanceEstimator::kUniform);
  EXPECT_THAT(preset_message(R"({"key_block": 64, "selection": "threshold",
                                 "level_bounds": [0, 0, 0, 1], "estimator": "uniform"})"),
              HasSubstr("mine.json: psa: estimator \"uniform\""));
}

// What a video's record says must not depend on a file that may change.
TEST(AttentionConfig, APresetFileIsRememberedByWhatItHolds) {
  const testing::TemporaryFolder folder;
  const std::string path = (folder / "mine.json").string();
  testing::write_text(path, preset_with(R"(, "description": "half: a/b",
                                           "overrides": [{"layers": [1], "attention": "dense"}])"));
  const AttentionConfig config = parse_attention("psa:" + path);
  EXPECT_EQ(config.name, "psa:" + path);
  EXPECT_TRUE(config.spec.starts_with("psa:{")) << config.spec;
  std::filesystem::remove(path);
  const AttentionConfig again = parse_attention(config.spec);
  EXPECT_EQ(again.spec, config.spec);
  EXPECT_EQ(again.name, "psa:{...}");
  EXPECT_EQ(again.psa.level_bounds, config.psa.level_bounds);
  EXPECT_EQ(again.overrides.size(), 1u);
}

TEST(AttentionConfig, BlockSparseTakesFilesAndSpendsTheirOverridesInFull) {
  const testing::TemporaryFolder folder;
  const std::string path = (folder / "mine.json").string();
  testing::write_text(path, preset_with(R"(, "overrides": [
      {"layers": [0], "attention": "dense"},
      {"layers": [1], "level_bounds": [0.1, 0.3, 0.3, 0.7]}])"));
  const AttentionConfig config = parse_attention("block-sparse:" + path);
  EXPECT_THAT(config.psa.level_bounds, Each(::testing::DoubleNear(0.15, 1e-12)));
  EXPECT_TRUE(config.overrides[0].is_dense());
  EXPECT_THAT(config.overrides[1].level_bounds, Each(::testing::DoubleNear(0.25, 1e-12)));
  EXPECT_EQ(parse_attention(config.spec).psa.level_bounds, config.psa.level_bounds);
}

TEST(AttentionConfig, PresetFileErrorsNameTheFile) {
  const testing::TemporaryFolder folder;
  const std::string path = (folder / "mine.json").string();
  try {
    parse_attention("psa:" + path);
    FAIL() << "read a file that there is not";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_THAT(error.message(), HasSubstr(path));
  }
  testing::write_text(path, preset_with(R"(, "keyblock": 3)"));
  EXPECT_THAT(message_of("psa:" + path), HasSubstr(path));
  EXPECT_THAT(message_of("psa:{\"key_block\": 3}"), HasSubstr("key_block"));
}

TEST(AttentionConfig, UnknownNamesSuggest) {
  EXPECT_THAT(message_of("psa:balancd"), HasSubstr("did you mean \"balanced\""));
  EXPECT_THAT(message_of("psa:zzz"), HasSubstr("known: balanced, cogvideo-5b-4steps"));
  EXPECT_THAT(message_of("psa:"), HasSubstr("unknown attention preset \"\""));
  EXPECT_THAT(message_of("pas"), HasSubstr("did you mean \"psa\""));
  EXPECT_THAT(message_of(""), HasSubstr("block-sparse:PRESET"));
  EXPECT_THAT(message_of("dense:balanced"), HasSubstr("no presets"));
  EXPECT_THAT(message_of("psa:density-0.15"), HasSubstr("block-sparse:density-0.15"));
}

TEST(AttentionConfig, PresetErrorsNameFileAndKey) {
  EXPECT_EQ(preset_message(preset_with("")), "no error");
  for (const auto& [json, key] : {
           std::pair{preset_with(R"(, "keyblock": 3)"), "keyblock"},
           {preset_with(R"(, "estimator": "exact")"), "estimator"},
           {preset_with(R"(, "estimator": 3)"), "estimator"},
           {preset_with(R"(, "similarity_cap": 1)"), "similarity_cap"},
           {preset_with(R"(, "similarity_thresholds": [0.5, 0.5])"), "similarity_thresholds"},
           {preset_with(R"(, "warmup_share": 1.5)"), "warmup_share"},
           {preset_with(R"(, "warmup_steps": -1)"), "warmup_steps"},
           {preset_with(R"(, "query_block": 48)"), "query_block"},
           {preset_with(R"(, "min_full_ratio": "x")"), "min_full_ratio"},
           {std::string(R"({"selection": "quota", "level_bounds": [0, 0, 0, 1]})"), "key_block"},
           {std::string(R"({"key_block": 96, "selection": "quota", "level_bounds": [0, 0, 0, 1]})"),
            "key_block"},
           {std::string(R"({"key_block": 64, "level_bounds": [0, 0, 0, 1]})"), "selection"},
           {std::string(R"({"key_block": 64, "selection": "topk", "level_bounds": [0, 0, 0, 1]})"),
            "selection"},
           {std::string(R"({"key_block": 64, "selection": "quota", "level_bounds": [0, 1]})"),
            "level_bounds"},
           {std::string(R"({"key_block": 64, "selection": "quota", "level_bounds": [1, 0, 0, 1]})"),
            "level_bounds"},
       }) {
    EXPECT_THAT(preset_message(json), HasSubstr("mine.json")) << json;
    EXPECT_THAT(preset_message(json), HasSubstr(key)) << json;
  }
}

}  // namespace
}  // namespace psagen::engine
