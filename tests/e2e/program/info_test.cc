// `psa-gen info`, --help and --version.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/e2e/program/program.h"

namespace psagen {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ProgramResult;
using testing::run_program;

TEST(Info, SaysWhatTheModelHolds) {
  const ProgramResult result = run_program({"info", "--model", testing::tiny_model().string()});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, IsEmpty());
  for (const char* part :
       {"tiny_model", "text_encoder", "transformer", "vae", "2 layers", "BF16", "F16", "64x64",
        "--frames 5", "hash", "parameters  449,568", "bytes       95,398"}) {
    EXPECT_THAT(result.out, HasSubstr(part));
  }
}

TEST(Info, NamesAMissingModel) {
  const ProgramResult result = run_program({"info", "--model", "/no/such/model"});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.err, HasSubstr("/no/such/model"));
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_EQ(run_program({"info", "--modle", "x"}).exit_code, 2);
}

TEST(Help, IsAPage) {
  for (const char* flag : {"--help", "-h", "help"}) {
    const ProgramResult result = run_program({flag});
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_THAT(result.err, IsEmpty());
    for (const char* part : {"--prompt", "--guidance-scale", "--from", "Exit codes", "info"}) {
      EXPECT_THAT(result.out, HasSubstr(part)) << flag;
    }
  }
  EXPECT_THAT(run_program({"info", "--help"}).out, HasSubstr("--model"));
  EXPECT_THAT(run_program({"generate", "--help"}).out, HasSubstr("--prompt"));
}

TEST(Version, NamesProgramAndCommit) {
  const ProgramResult result = run_program({"--version"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_TRUE(result.out.starts_with("psa-gen ")) << result.out;
}

}  // namespace
}  // namespace psagen
