// Ctrl-C at each stage: exit code 130 and nothing half-written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/e2e/program/program.h"
#include "tests/support/temporary_folder.h"

namespace psagen {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ProgramOptions;
using testing::ProgramResult;
using testing::run_program;
using testing::TemporaryFolder;
using testing::tiny_run;

// Runs far more than fits into the test's time and sends the signals when a line says `moment`.
struct Interrupted {
  ProgramResult result;
  bool sent = false;
  bool had_unfinished_files = false;
};

Interrupted interrupt(const TemporaryFolder& folder, const std::string& moment,
                      const std::vector<int>& signals, const std::vector<std::string>& more) {
  Interrupted run;
  ProgramOptions options;
  options.folder = folder.path();
  options.on_line = [&](const std::string& line, pid_t process) {
    if (run.sent || line.find(moment) == std::string::npos) return;
    run.sent = true;
    run.had_unfinished_files = !folder.names().empty();
    for (const int number : signals) ::kill(process, number);
  };
  std::vector<std::string> flags = {"--progress", "json", "-o", "clip.mp4"};
  flags.insert(flags.end(), more.begin(), more.end());
  run.result = run_program(tiny_run(flags), options);
  return run;
}

TEST(Interrupt, WhileDenoising) {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    const TemporaryFolder folder;
    const Interrupted run =
        interrupt(folder, R"("stage":"denoise","done":1,)", {number}, {"--steps", "1000"});
    EXPECT_TRUE(run.sent);
    EXPECT_EQ(run.result.exit_code, 130);
    EXPECT_THAT(run.result.err, HasSubstr("psa-gen: error: "));
    EXPECT_THAT(folder.names(), IsEmpty());
  }
}

TEST(Interrupt, WhileFramesAreWritten) {
  const TemporaryFolder folder;
  const Interrupted run =
      interrupt(folder, R"("stage":"decode","done":5,)", {SIGINT},
                {"--steps", "1", "--frames", "401", "--frames-dir", "frames", "--cfg", "1"});
  EXPECT_TRUE(run.sent);
  EXPECT_TRUE(run.had_unfinished_files);
  EXPECT_EQ(run.result.exit_code, 130);
  EXPECT_THAT(folder.names(), IsEmpty());
}

TEST(Interrupt, TwiceEndsAtOnceAndStillLeavesNothing) {
  const TemporaryFolder folder;
  const Interrupted run =
      interrupt(folder, R"("stage":"decode","done":5,)", {SIGINT, SIGTERM},
                {"--steps", "1", "--frames", "401", "--frames-dir", "frames", "--cfg", "1"});
  EXPECT_TRUE(run.had_unfinished_files);
  EXPECT_EQ(run.result.exit_code, 130);
  EXPECT_THAT(folder.names(), IsEmpty());
}

// `psa-gen ... | head -1`: the reader goes away, the video is still made.
TEST(Interrupt, ClosedStandardOutputDoesNotEndTheRun) {
  const TemporaryFolder folder;
  std::string command = PSAGEN_PROGRAM;
  for (const std::string& word : tiny_run({"--progress", "json", "-o", "clip.mp4"})) {
    command += " '" + word + "'";
  }
  ProgramOptions options;
  options.folder = folder.path();
  const ProgramResult result =
      testing::run_command({"sh", "-c", "(" + command + "; echo $? > code) | true"}, options);
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(testing::read_text(folder / "code"), "0\n") << result.err;
  EXPECT_TRUE(std::filesystem::exists(folder / "clip.mp4"));
}

}  // namespace
}  // namespace psagen
