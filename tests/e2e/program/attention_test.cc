// How a run attends, and what it says and remembers of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/media/video_reader.h"
#include "tests/e2e/program/tiny_clip.h"
#include "tests/support/temporary_folder.h"

namespace psagen {
namespace {

namespace fs = std::filesystem;
using engine::read_video;
using nlohmann::json;
using ::testing::HasSubstr;
using testing::read_text;
using testing::run_in;
using testing::settings_of;
using testing::TemporaryFolder;
using testing::write_text;

TEST(Attention, SparseAttentionIsReported) {
  const TemporaryFolder folder;
  ASSERT_EQ(
      run_in(folder, {"--attention", "psa", "-o", "clip.mp4", "--report", "report.json"}).exit_code,
      0);
  EXPECT_EQ(settings_of(folder / "clip.mp4").at("attention"), "psa");
  const json report = json::parse(read_text(folder / "report.json"));
  bool sparse = false;
  for (const json& step : report.at("steps")) sparse = sparse || step.at("sparse").get<bool>();
  EXPECT_TRUE(sparse);
}

TEST(Attention, SaysWhyAttentionIsWhatItIs) {
  const TemporaryFolder folder;
  const auto said = [&](const std::vector<std::string>& more) {
    std::vector<std::string> flags = {"-o", "clip.mp4", "--overwrite", "--progress", "lines"};
    flags.insert(flags.end(), more.begin(), more.end());
    return run_in(folder, flags).err;
  };
  EXPECT_THAT(said({}), HasSubstr("attention dense (auto: 32 tokens"));
  EXPECT_EQ(settings_of(folder / "clip.mp4").at("attention"), "dense");
  EXPECT_THAT(said({"--attention", "dense"}), HasSubstr("attention dense, "));
  EXPECT_THAT(said({"--attention", "psa"}),
              HasSubstr("attention psa (32 tokens; auto is dense below 4096)"));
}

TEST(Attention, APresetFileIsRepeatedWithoutTheFile) {
  const TemporaryFolder folder;
  // 300 tokens, ten key blocks; the tiny model has two layers.
  const std::string preset = R"({"key_block": 32, "selection": "quota", "estimator": "uniform",
      "level_bounds": [0.2, 0.3, 0.3, 0.4], "warmup_steps": 1,
      "overrides": [{"layers": [0], "steps": [1], "attention": "dense"}],
      "reuse_across_guidance": true, "reuse_steps": 2})";
  const std::vector<std::string> run = {"--size", "160x160", "--frames", "9", "--seed", "3"};
  const auto frames = [&](const std::vector<std::string>& more, const std::string& name) {
    std::vector<std::string> flags = run;
    flags.insert(flags.end(), {"-o", name});
    flags.insert(flags.end(), more.begin(), more.end());
    EXPECT_EQ(run_in(folder, flags).exit_code, 0);
    return read_video(folder / name);
  };
  write_text(folder / "mine.json", preset);
  const auto made = frames({"--attention", "psa:mine.json", "--report", "r"}, "made.y4m");
  const json steps = json::parse(read_text(folder / "r")).at("steps");
  EXPECT_EQ(steps.at(0).at("layers").size(), 0u);
  EXPECT_EQ(steps.at(1).at("layers").size(), 1u);
  EXPECT_EQ(steps.at(2).at("layers").size(), 2u);
  EXPECT_NE(frames({"--attention", "dense"}, "dense.y4m"), made);
  fs::remove(folder / "mine.json");
  EXPECT_EQ(frames({"--from", "made.y4m"}, "again.y4m"), made);
}

}  // namespace
}  // namespace psagen
