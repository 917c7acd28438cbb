#include "app/run_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"

namespace psagen::app {
namespace {

using psagen::testing::expect_error;
using psagen::testing::TemporaryFolder;
using psagen::testing::write_text;
using ::testing::HasSubstr;
using ::testing::Not;

RunRecord sample_record() {
  RunRecord record;
  record.version = "1.2.3";
  record.commit = "abc";
  record.model_name = "tiny";
  record.model_hash = "0123";
  record.settings.prompt = "a \"quoted\"\nline with 色 and \\";
  record.settings.negative_prompt = "";
  record.settings.size = FrameSize{832, 480};
  record.settings.frames = 81;
  record.settings.fps = 24000.0 / 1001.0;
  record.settings.cfg = 0.1 + 0.2;
  record.settings.seed = 18446744073709551615ULL;
  record.settings.attention = "psa:official-0.15";
  return record;
}

RunRecord through_json(const std::string& text) {
  const TemporaryFolder folder;
  write_text(folder / "settings.json", text);
  return load_run_record(folder / "settings.json");
}

TEST(RunRecord, EverySettingSurvivesExactly) {
  const RunRecord record = sample_record();
  const RunRecord read = through_json(to_json(record));
  EXPECT_EQ(read.version, record.version);
  EXPECT_EQ(read.commit, record.commit);
  EXPECT_EQ(read.model_name, record.model_name);
  EXPECT_EQ(read.model_hash, record.model_hash);
  EXPECT_EQ(read.settings.prompt, record.settings.prompt);
  EXPECT_EQ(read.settings.negative_prompt, "");
  EXPECT_EQ(read.settings.size, record.settings.size);
  EXPECT_EQ(read.settings.frames, record.settings.frames);
  EXPECT_EQ(read.settings.fps, record.settings.fps);
  EXPECT_EQ(read.settings.cfg, record.settings.cfg);
  EXPECT_EQ(read.settings.seed, record.settings.seed);
  EXPECT_EQ(read.settings.attention, record.settings.attention);
  EXPECT_FALSE(read.settings.steps);
}

TEST(RunRecord, IsOneLineWithoutPathsOfTheMachine) {
  RunRecord record = sample_record();
  record.settings.model = "/home/somebody/model";
  record.settings.output = "/home/somebody/clip.mp4";
  record.settings.threads = 3;
  const std::string text = to_json(record);
  EXPECT_THAT(text, Not(HasSubstr("\n")));
  EXPECT_THAT(text, Not(HasSubstr("somebody")));
  EXPECT_THAT(text, Not(HasSubstr("threads")));
}

TEST(RunRecord, RefusesWhatItCannotRepeat) {
  const std::string good = to_json(sample_record());
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    return text.replace(text.find(from), from.size(), to);
  };
  const auto expect_bad = [](ErrorCode code, const std::string& text, const std::string& part) {
    expect_error(code, {"settings.json", part}, [&] { through_json(text); });
  };
  expect_bad(ErrorCode::kInvalidArgument, replaced("psa-gen", "other"), "other");
  expect_bad(ErrorCode::kNotFound, replaced("\"model\"", "\"m\""), "model");
  expect_bad(ErrorCode::kInvalidArgument, replaced("\"settings\"", "\"s\""), "settings");
  // A setting of a later version would change the frames: it is not skipped.
  expect_bad(ErrorCode::kInvalidArgument, replaced("\"frames\"", "\"tiling\""), "tiling");
  expect_bad(ErrorCode::kInvalidArgument, "nice clip", "settings.json");
}

}  // namespace
}  // namespace psagen::app
