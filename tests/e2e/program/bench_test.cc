// psa-gen bench on the CPU, at shapes small enough for a test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "tests/e2e/program/program.h"
#include "tests/support/temporary_folder.h"

namespace psagen {
namespace {

using ::testing::HasSubstr;
using testing::ProgramOptions;
using testing::ProgramResult;
using testing::run_program;
using testing::TemporaryFolder;

TEST(Bench, TimesEveryPartAndWritesJson) {
  const TemporaryFolder folder;
  ProgramOptions options;
  options.folder = folder.path();
  const ProgramResult result =
      run_program({"bench", "--like", "default", "--size", "64x64", "--frames", "5", "--rounds",
                   "3", "--text-tokens", "7", "--device", "cpu", "-o", "bench.json"},
                  options);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const nlohmann::json report = nlohmann::json::parse(testing::read_text(folder / "bench.json"));
  EXPECT_EQ(report.at("like"), "default");
  EXPECT_EQ(report.at("complete"), true);
  EXPECT_GE(report.at("hardware").at("threads"), 1);
  ASSERT_EQ(report.at("results").size(), 5u);
  for (const char* part : {"product", "attention", "forward", "text", "decode"})
    EXPECT_THAT(result.out, HasSubstr(part));
  for (const nlohmann::json& entry : report.at("results")) {
    EXPECT_EQ(entry.at("rounds_ms").size(), 3u) << entry;
    EXPECT_GT(entry.at("median_ms"), 0.0) << entry;
    if (entry.at("part") == "product") {
      EXPECT_EQ(entry.at("share_of_product"), 1.0) << entry;
    }
    EXPECT_LE(entry.at("least_ms"), entry.at("median_ms")) << entry;
    EXPECT_GT(entry.at("zones").size(), 0u) << entry;
  }
}

// An hour of measurements is not lost to what comes after it.
TEST(Bench, KeepsThePartsThatAreDoneWhenItIsInterrupted) {
  const TemporaryFolder folder;
  ProgramOptions options;
  options.folder = folder.path();
  options.on_line = [](const std::string& line, pid_t process) {
    if (line.starts_with("product")) ::kill(process, SIGINT);
  };
  const ProgramResult result = run_program({"bench", "forward", "--like", "default", "--rounds",
                                            "20", "--device", "cpu", "-o", "bench.json"},
                                           options);
  EXPECT_EQ(result.exit_code, 130) << result.err;
  EXPECT_THAT(result.err, HasSubstr("interrupted"));
  EXPECT_THAT(result.out, HasSubstr("product"));
  const nlohmann::json report = nlohmann::json::parse(testing::read_text(folder / "bench.json"));
  EXPECT_EQ(report.at("complete"), false);
  ASSERT_EQ(report.at("results").size(), 1u);
  EXPECT_EQ(report.at("results")[0].at("part"), "product");
}

TEST(Bench, ChecksWhereTheVideoGoesBeforeItRuns) {
  const ProgramResult result = run_program({"bench", "run", "--like", "default", "--device", "cpu",
                                            "--video", "/no/such/folder/clip.mp4"});
  EXPECT_EQ(result.exit_code, 5) << result.err;
  EXPECT_THAT(result.err, HasSubstr("/no/such/folder"));
  EXPECT_THAT(result.out, ::testing::IsEmpty());
}

TEST(Bench, NamesWhatItDoesNotKnow) {
  const auto expect_refused = [](const std::vector<std::string>& arguments, const char* part) {
    const ProgramResult result = run_program(arguments);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_THAT(result.err, HasSubstr(part));
  };
  expect_refused({"bench", "foward", "--device", "cpu"}, "forward");
  expect_refused({"bench", "--like", "wan2.1-2b", "--device", "cpu"}, "wan2.1-1");
  expect_refused({"bench", "--size", "830x480", "--device", "cpu"}, "830x480");
  expect_refused({"bench", "--frames", "80", "--device", "cpu"}, "80");
}

}  // namespace
}  // namespace psagen
