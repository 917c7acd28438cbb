// psa-gen --plan: what a GPU would hold, on a machine that has none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

TEST(Plan, TellsEveryStageAndWritesNothing) {
  const TemporaryFolder folder;
  ProgramOptions options;
  options.folder = folder.path();
  const ProgramResult result = run_program(tiny_run({"--plan", "--device", "cuda:3"}), options);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  for (const char* part : {"BF16", "encode text", "denoise", "decode", "in all", " GB"})
    EXPECT_THAT(result.out, HasSubstr(part));
  EXPECT_THAT(folder.names(), IsEmpty());
}

TEST(Plan, RefusesWhatALimitDoesNotHold) {
  const ProgramResult result =
      run_program(tiny_run({"--plan", "--device", "cuda", "--vram-limit", "0.5"}));
  EXPECT_EQ(result.exit_code, 7) << result.err;
  EXPECT_THAT(result.err, HasSubstr("there are 0.5 GB"));
}

}  // namespace
}  // namespace psagen
