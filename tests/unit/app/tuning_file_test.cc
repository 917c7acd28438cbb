#include "app/tuning_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <thread>
#include <vector>

#include "kernels/core/error.h"
#include "tests/support/temporary_folder.h"

namespace psagen::app {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;
using testing::read_text;
using testing::TemporaryFolder;
using ::testing::UnorderedElementsAre;
using testing::write_text;
using Choice = TuningStore::Choice;

// A file with choices `a` and `b`.
void write_two(const fs::path& path) {
  TuningFile file(path);
  file.keep("a", {1, -2, std::numeric_limits<std::int64_t>::min()});
  file.keep("b", {});
  ASSERT_TRUE(file.save());
}

TEST(TuningFile, LaterRunsFindWhatWasKept) {
  const TemporaryFolder folder;
  const fs::path path = folder / "made/here/tuning.json";
  TuningFile first(path);
  EXPECT_FALSE(first.find("a"));
  EXPECT_EQ(first.warning(), "") << "a file that is not there is nothing to warn of";
  write_two(path);
  const TuningFile second(path);
  EXPECT_EQ(second.find("a"), (Choice{1, -2, std::numeric_limits<std::int64_t>::min()}));
  EXPECT_EQ(second.find("b"), Choice{}) << "an empty choice is a choice";
  EXPECT_FALSE(second.find("c"));
  EXPECT_FALSE(first.find("a")) << "a run sees what was there when it began";
}

TEST(TuningFile, ARunFindsItsOwnBeforeTheyAreSaved) {
  const TemporaryFolder folder;
  TuningFile file(folder / "tuning.json");
  file.keep("a", {7});
  EXPECT_EQ(file.find("a"), Choice{7});
  EXPECT_FALSE(fs::exists(folder / "tuning.json"));
}

TEST(TuningFile, SavesWhenItGoesAndLeavesNoOtherFile) {
  const TemporaryFolder folder;
  { TuningFile(folder / "tuning.json").keep("a", {7}); }
  EXPECT_EQ(TuningFile(folder / "tuning.json").find("a"), Choice{7});
  EXPECT_THAT(folder.names(), UnorderedElementsAre("tuning.json", "tuning.json.lock"));
}

TEST(TuningFile, NothingKeptWritesNothing) {
  const TemporaryFolder folder;
  { const TuningFile file(folder / "tuning.json"); }
  EXPECT_TRUE(folder.names().empty());
}

TEST(TuningFile, TwoRunsAtOnceKeepBothAndTheFirstChoice) {
  const TemporaryFolder folder;
  const fs::path path = folder / "tuning.json";
  TuningFile one(path), other(path);
  one.keep("mine", {1});
  one.keep("shared", {1});
  other.keep("yours", {2});
  other.keep("shared", {2});
  ASSERT_TRUE(one.save());
  ASSERT_TRUE(other.save());
  const TuningFile later(path);
  EXPECT_EQ(later.find("mine"), Choice{1});
  EXPECT_EQ(later.find("yours"), Choice{2});
  EXPECT_EQ(later.find("shared"), Choice{1});
}

// A back end that found a choice and could not use it measures again.
TEST(TuningFile, AChoiceThatWasFoundCanBeReplaced) {
  const TemporaryFolder folder;
  const fs::path path = folder / "tuning.json";
  write_two(path);
  TuningFile file(path);
  ASSERT_TRUE(file.find("a"));
  file.keep("a", {9});
  ASSERT_TRUE(file.save());
  EXPECT_EQ(TuningFile(path).find("a"), Choice{9});
  EXPECT_EQ(TuningFile(path).find("b"), Choice{});
}

TEST(TuningFile, ManyAtOnceLoseNothing) {
  const TemporaryFolder folder;
  const fs::path path = folder / "tuning.json";
  constexpr std::int64_t kRuns = 8, kEach = 20;
  // Threads of one process would share the name of the unfinished file: the lock keeps them apart.
  std::vector<std::thread> runs;
  for (std::int64_t run = 0; run < kRuns; ++run)
    runs.emplace_back([&path, run] {
      TuningFile file(path);
      for (std::int64_t i = 0; i < kEach; ++i) {
        file.keep(std::to_string(run * kEach + i), {run, i});
        EXPECT_TRUE(file.save());
      }
    });
  for (std::thread& run : runs) run.join();
  const TuningFile all(path);
  EXPECT_EQ(all.warning(), "");
  for (std::int64_t i = 0; i < kRuns * kEach; ++i)
    EXPECT_EQ(all.find(std::to_string(i)), (Choice{i / kEach, i % kEach}));
}

TEST(TuningFile, ADamagedOneCountsAsEmptyWithOneWarning) {
  const TemporaryFolder folder;
  const fs::path path = folder / "tuning.json";
  write_two(path);
  const std::string whole = read_text(path);
  const auto expect_unused = [&path](const std::string& content, const std::string& what) {
    write_text(path, content);
    const TuningFile file(path);
    EXPECT_FALSE(file.find("a")) << what;
    EXPECT_THAT(file.warning(), HasSubstr("tuning.json")) << what;
    EXPECT_EQ(file.warning().find('\n'), std::string::npos) << what;
  };
  for (std::size_t i = 0; i + 1 < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 4);
    expect_unused(damaged, concat("byte ", i, ": ", damaged));
  }
  for (std::size_t length = 0; length + 1 < whole.size(); ++length)
    expect_unused(whole.substr(0, length), concat("first ", length));
  for (const char* foreign :
       {"[]", "null", "{}", R"({"format":"psa-gen tuning 2","choices":{},"sha256":""})",
        R"({"format":"psa-gen tuning 1","choices":{"a":[1]},"sha256":7})", "\xff\xfe"})
    expect_unused(foreign, foreign);
}

TEST(TuningFile, ADamagedOneIsWrittenAnew) {
  const TemporaryFolder folder;
  const fs::path path = folder / "tuning.json";
  write_text(path, "not ours");
  {
    TuningFile file(path);
    file.keep("a", {3});
  }
  const TuningFile file(path);
  EXPECT_EQ(file.warning(), "");
  EXPECT_EQ(file.find("a"), Choice{3});
}

TEST(TuningFile, WhatCannotBeKeptFailsNothing) {
  const TemporaryFolder folder;
  write_text(folder / "file", "");
  TuningFile file(folder / "file/below/tuning.json");
  file.keep("a", {1});
  EXPECT_FALSE(file.save());
  EXPECT_EQ(file.find("a"), Choice{1}) << "this run has it";
  fs::create_directory(folder / "folder.json");
  TuningFile at_folder(folder / "folder.json");
  EXPECT_THAT(at_folder.warning(), HasSubstr("folder.json"));
  at_folder.keep("a", {1});
  EXPECT_FALSE(at_folder.save());
}

}  // namespace
}  // namespace psagen::app
