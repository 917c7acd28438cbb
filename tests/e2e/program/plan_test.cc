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
  for (const char* part : {"BF16", "encode text", "text encoder, let go afterwards", "denoise",
                           "transformer", "decode", "VAE decoder", "in all", " GB"})
    EXPECT_THAT(result.out, HasSubstr(part));
  EXPECT_THAT(folder.names(), IsEmpty());
}

TEST(Plan, RefusesWhatALimitDoesNotHold) {
  const ProgramResult result =
      run_program(tiny_run({"--plan", "--device", "cuda", "--vram-limit", "0.5"}));
  EXPECT_EQ(result.exit_code, 7) << result.err;
  EXPECT_THAT(result.err, HasSubstr("there are 0.5 GB"));
}

// Decoding is what takes most of a large still; the reserve for ops and driver is 0.90 GB of it.
TEST(Plan, DecodesInTilesWhereALimitAsksForIt) {
  const auto plan = [](const std::vector<std::string>& more) {
    std::vector<std::string> flags = {"--plan",   "--device", "cuda", "--size",
                                      "1280x720", "--frames", "1"};
    flags.insert(flags.end(), more.begin(), more.end());
    return run_program(tiny_run(flags));
  };
  EXPECT_THAT(plan({}).out, ::testing::Not(HasSubstr("tiles")));
  const ProgramResult limited = plan({"--vram-limit", "0.96"});
  EXPECT_EQ(limited.exit_code, 0) << limited.err;
  EXPECT_THAT(limited.out, HasSubstr("frames are decoded in 2 x 3 tiles, one latent frame"));
  const ProgramResult refused = plan({"--vram-limit", "0.96", "--vae-tiling", "off"});
  EXPECT_EQ(refused.exit_code, 7) << refused.out;
  EXPECT_THAT(refused.err, HasSubstr("without --vae-tiling off it would fit"));
  EXPECT_THAT(plan({"--vae-tiling", "on"}).out, HasSubstr("decoded in 3 x 5 tiles"));
}

}  // namespace
}  // namespace psagen
