// psa-gen inspect attention on the tiny model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/media/video_reader.h"
#include "tests/e2e/program/program.h"
#include "tests/support/temporary_folder.h"

namespace psagen {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ProgramOptions;
using testing::ProgramResult;
using testing::run_program;
using testing::TemporaryFolder;
using ::testing::UnorderedElementsAre;

// A clip of 300 tokens.
ProgramResult inspect_in(const TemporaryFolder& folder, const std::vector<std::string>& flags) {
  std::vector<std::string> more = {"--size", "160x160", "--frames", "9"};
  more.insert(more.end(), flags.begin(), flags.end());
  std::vector<std::string> arguments = testing::tiny_run(more);
  arguments.insert(arguments.begin(), {"inspect", "attention"});
  ProgramOptions options;
  options.folder = folder.path();
  return run_program(arguments, options);
}

TEST(Inspect, DrawsOneHead) {
  const TemporaryFolder folder;
  const ProgramResult result =
      inspect_in(folder, {"--step", "1", "--layer", "1", "--head", "0", "--forward", "1",
                          "--attention", "psa:quality", "-o", "map.png", "--json", "map.json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(folder.names(), UnorderedElementsAre("map.png", "map.json"));
  for (const char* part : {"psa:quality", "negative", "level", "skip", "density", "error"})
    EXPECT_THAT(result.out, HasSubstr(part));

  // 10 key blocks of 32 tokens beside 3 query blocks of 128: cells of 24 x 96 pixels.
  const engine::VideoInfo info = engine::probe_video(folder / "map.png");
  EXPECT_GE(info.width, 2 * 10 * 24);
  EXPECT_GE(info.height, 3 * 96);
  EXPECT_EQ(engine::read_video(folder / "map.png").at(0).size(),
            static_cast<std::size_t>(3 * info.width * info.height));

  const json report = json::parse(testing::read_text(folder / "map.json"));
  EXPECT_EQ(report.at("along"), "dense");
  EXPECT_EQ(report.at("forward"), 1);
  EXPECT_EQ(report.at("video_tokens"), 300);
  EXPECT_EQ(report.at("settings").at("seed"), 5);
  const json& attention = report.at("attentions").at(0);
  EXPECT_EQ(attention.at("attention"), "psa:quality");
  EXPECT_TRUE(attention.at("mean").is_null());
  const json& head = attention.at("head");
  EXPECT_EQ(head.at("step"), 1);
  EXPECT_EQ(head.at("layer"), 1);
  EXPECT_GT(head.at("relative_error"), 0.0);
  // The tiny model has one head.
  EXPECT_NEAR(head.at("layer_relative_error"), head.at("relative_error"), 1e-12);
  double blocks = 0.0, mass = 0.0;
  for (const char* level : {"1", "2", "4", "8", "skip"}) {
    blocks += head.at("levels").at(level).at("blocks").get<double>();
    mass += head.at("levels").at(level).at("mass").get<double>();
  }
  EXPECT_NEAR(blocks, 1.0, 1e-9);
  EXPECT_NEAR(mass, 1.0, 1e-9);
}

TEST(Inspect, ComparesAttentionsAlongOneRun) {
  const TemporaryFolder folder;
  const ProgramResult result = inspect_in(
      folder,
      {"--steps-at", "0,2", "--attention", "psa:quality,block-sparse", "--json", "errors.json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("means over 4 places"));
  const json report = json::parse(testing::read_text(folder / "errors.json"));
  ASSERT_EQ(report.at("attentions").size(), 2u);
  for (const json& attention : report.at("attentions")) {
    EXPECT_TRUE(attention.at("head").is_null());
    const json& mean = attention.at("mean");
    EXPECT_EQ(mean.at("places"), 4);  // both layers
    for (const char* key : {"relative_error", "nominal_density", "executed_density"}) {
      double sum = 0.0;
      for (const json& place : attention.at("places")) sum += place.at(key).get<double>();
      EXPECT_NEAR(mean.at(key), sum / 4, 1e-12) << key;
      EXPECT_GT(mean.at(key), 0.0) << key;
    }
  }
}

TEST(Inspect, NamesWhatIsWrongAndWritesNothing) {
  const TemporaryFolder folder;
  const auto expect_refused = [&](const std::vector<std::string>& flags, const char* flag,
                                  const char* part) {
    const ProgramResult result = inspect_in(folder, flags);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_THAT(result.err, HasSubstr(flag));
    EXPECT_THAT(result.err, HasSubstr(part));
    EXPECT_THAT(result.out, IsEmpty());
    EXPECT_THAT(folder.names(), IsEmpty());
  };
  expect_refused({}, "--step", "--steps-at");
  expect_refused({"--step", "1", "--layer", "0"}, "--head", "only some");
  expect_refused({"--step", "3", "--layer", "0", "--head", "0"}, "--step", "0 to 2");
  expect_refused({"--step", "0", "--layer", "2", "--head", "0"}, "--layer", "0 to 1");
  expect_refused({"--step", "0", "--layer", "0", "--head", "1"}, "--head", "0 to 0");
  expect_refused({"--steps-at", "0,3"}, "--steps-at", "3");
  expect_refused({"--steps-at", "0,,1"}, "--steps-at", "whole number");
  expect_refused({"--steps-at", "0", "--layers", "x"}, "--layers", "x");
  expect_refused({"--layers", "0", "--step", "0", "--layer", "0", "--head", "0"}, "--layers",
                 "--steps-at");
  expect_refused({"--steps-at", "0", "-o", "map.png"}, "--output", "--head");
  expect_refused({"--steps-at", "0", "--forward", "2"}, "--forward", "0 to 1");
  expect_refused({"--steps-at", "0", "--forward", "1", "--cfg", "1"}, "--forward", "--cfg");
  expect_refused({"--steps-at", "0", "--attention", "psa,dense"}, "attention", "dense");
  expect_refused({"--steps-at", "0", "--attention", "psa:no"}, "attention", "no");
  expect_refused({"--step", "0", "--layer", "0", "--head", "0", "-o", "map.png", "--attention",
                  "psa,psa:fast"},
                 "--output", "--attention");
  EXPECT_EQ(run_program({"inspect", "atention"}).exit_code, 2);
  EXPECT_THAT(run_program({"inspect", "atention"}).err, HasSubstr("attention"));
  EXPECT_THAT(run_program({"inspect", "--help"}).out, HasSubstr("--steps-at"));
}

}  // namespace
}  // namespace psagen
