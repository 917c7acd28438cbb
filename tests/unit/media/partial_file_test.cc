#include "engine/media/partial_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "kernels/core/error.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/media/file_limit.h"

namespace psagen::engine {
namespace {

using psagen::testing::FileLimit;
using psagen::testing::read_text;
using psagen::testing::TemporaryFolder;
using psagen::testing::write_text;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(PartialFile, AppearsOnCommitOnly) {
  const TemporaryFolder folder;
  PartialFile file(folder / "report.json");
  file.append("one");
  EXPECT_THAT(folder.names(), ElementsAre(partial_path(folder / "report.json").filename()));
  file.append(" two");
  file.commit(false);
  EXPECT_THAT(folder.names(), ElementsAre("report.json"));
  EXPECT_EQ(read_text(folder / "report.json"), "one two");
}

TEST(PartialFile, LeavesNothingWithoutCommit) {
  const TemporaryFolder folder;
  { PartialFile(folder / "a").append("lost"); }
  EXPECT_THAT(folder.names(), IsEmpty());
}

TEST(PartialFile, KeepsWhatExistsUnlessOverwriting) {
  const TemporaryFolder folder;
  write_text(folder / "a", "old");
  for (const bool overwrite : {false, true}) {
    PartialFile file(folder / "a");
    file.append("written");
    if (overwrite) {
      file.commit(true);
      continue;
    }
    try {
      file.commit(false);
      FAIL() << "an existing file was replaced";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_THAT(error.message(), HasSubstr((folder / "a").string()));
    }
    EXPECT_EQ(read_text(folder / "a"), "old");
  }
  EXPECT_EQ(read_text(folder / "a"), "written");
  EXPECT_THAT(folder.names(), ElementsAre("a"));
}

TEST(PartialFile, LongNamesFit) {
  const TemporaryFolder folder;
  const std::string name(255, 'n');
  PartialFile file(folder / name);
  file.append("x");
  file.commit(false);
  EXPECT_THAT(folder.names(), ElementsAre(name));
}

TEST(PartialFile, FullDiskIsAnErrorThatNamesTheTarget) {
  const TemporaryFolder folder;
  {
    PartialFile file(folder / "a");
    const FileLimit limit(1000);
    try {
      file.append(std::string(100000, 'x'));
      file.commit(false);
      FAIL() << "wrote past the limit";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kIo);
      EXPECT_THAT(error.message(), HasSubstr((folder / "a").string()));
      EXPECT_THAT(error.message(), HasSubstr("File too large"));
    }
  }
  EXPECT_THAT(folder.names(), IsEmpty());
}

}  // namespace
}  // namespace psagen::engine
