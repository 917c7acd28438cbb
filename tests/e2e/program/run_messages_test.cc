// What a run says while it goes, and its report.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "engine/media/video_reader.h"
#include "tests/e2e/program/tiny_clip.h"
#include "tests/support/temporary_folder.h"

namespace psagen {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ProgramOptions;
using testing::ProgramResult;
using testing::read_text;
using testing::run_in;
using testing::run_program;
using testing::settings_of;
using testing::TemporaryFolder;
using testing::write_text;

TEST(RunMessages, ReportSaysWhatHappened) {
  const TemporaryFolder folder;
  ASSERT_EQ(run_in(folder, {"-o", "clip.mp4", "--report", "report.json"}).exit_code, 0);
  const json report = json::parse(read_text(folder / "report.json"));
  EXPECT_EQ(report.at("settings"), settings_of(folder / "clip.mp4"));
  EXPECT_EQ(report.at("outputs"), json::array({"clip.mp4"}));
  EXPECT_EQ(report.at("threads"), 1);
  EXPECT_EQ(report.at("video_tokens"), 2 * 4 * 4);
  EXPECT_GT(report.at("prompt_tokens"), 1);
  std::vector<std::string> stages;
  double seconds = 0.0;
  for (const json& stage : report.at("stages")) {
    stages.push_back(stage.at("stage"));
    seconds += stage.at("seconds").get<double>();
    EXPECT_GT(stage.at("peak_bytes"), 1 << 20);
  }
  EXPECT_THAT(stages, ElementsAre("load", "encode text", "denoise", "decode", "write"));
  EXPECT_LE(seconds, 1.01 * report.at("seconds").get<double>() + 0.01);
  ASSERT_EQ(report.at("steps").size(), 3U);
  double sigma = 1.1;
  for (const json& step : report.at("steps")) {
    EXPECT_LT(step.at("sigma").get<double>(), sigma);
    sigma = step.at("sigma");
    EXPECT_EQ(step.at("sparse"), false);
    EXPECT_EQ(step.at("nominal_density"), 1.0);
    EXPECT_EQ(step.at("executed_density"), 1.0);
  }
}

TEST(RunMessages, ProgressAsJson) {
  const TemporaryFolder folder;
  const ProgramResult result = run_in(folder, {"-o", "clip.mp4", "--progress", "json"});
  ASSERT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.err, IsEmpty());
  std::vector<std::string> finished_stages;
  json last;
  std::istringstream lines(result.out);
  for (std::string line; std::getline(lines, line);) {
    last = json::parse(line);
    if (last.at("event") == "progress" && last.at("done") == last.at("total")) {
      finished_stages.push_back(last.at("stage"));
    }
  }
  EXPECT_THAT(finished_stages, ElementsAre("load", "encode text", "denoise", "decode", "write"));
  EXPECT_EQ(last.at("event"), "finished");
  EXPECT_EQ(last.at("outputs"), json::array({"clip.mp4"}));
  EXPECT_EQ(last.at("seed"), 5);
}

TEST(RunMessages, ProgressAsLinesInAPipe) {
  const TemporaryFolder folder;
  const ProgramResult result = run_in(folder, {"-o", "clip.mp4", "--progress", "auto"});
  ASSERT_EQ(result.exit_code, 0);
  for (const char* line : {"load: 3/3", "denoise: 3/3", "decode: 5/5", "write: 1/1"}) {
    EXPECT_THAT(result.err, HasSubstr(line));
  }
  EXPECT_EQ(result.err.find('\r'), std::string::npos);
  EXPECT_EQ(result.err.find('\x1b'), std::string::npos);
}

TEST(RunMessages, ShowsWhereALongPromptIsCut) {
  const TemporaryFolder folder;
  std::string prompt = "start";
  for (int i = 0; i < 40; ++i) prompt += " wörter";
  write_text(folder / "prompt.txt", "\xEF\xBB\xBF" + prompt + "\n\n");
  ProgramOptions options;
  options.folder = folder.path();
  const ProgramResult result =
      run_program({"--model", testing::tiny_model().string(), "--prompt-file", "prompt.txt",
                   "--steps", "1", "--threads", "1", "--progress", "none", "-o", "clip.mp4"},
                  options);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("longer than the model's 32 tokens"));
  EXPECT_THAT(result.err, HasSubstr(" | "));
  EXPECT_EQ(settings_of(folder / "clip.mp4").at("prompt"), prompt);
}

}  // namespace
}  // namespace psagen
