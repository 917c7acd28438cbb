// psa-gen bench on the CPU, at shapes small enough for a test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
