#include "app/run_config.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"

namespace psagen::app {
namespace {

using psagen::testing::expect_error;
using psagen::testing::TemporaryFolder;
using psagen::testing::write_text;

GenerateOptions load(const std::string& text) {
  const TemporaryFolder folder;
  write_text(folder / "run.json", text);
  return load_config(folder / "run.json");
}

TEST(RunConfig, KeysAreTheFlags) {
  const GenerateOptions options = load(R"({"prompt": "ä", "negative-prompt": "", "size": "64x32",
      "frames": 5, "fps": 8, "cfg": 2.5, "seed": 18446744073709551615, "overwrite": true,
      "steps": null})");
  EXPECT_EQ(options.prompt, "ä");
  EXPECT_EQ(options.negative_prompt, "");
  EXPECT_EQ(options.size, (FrameSize{64, 32}));
  EXPECT_EQ(options.frames, 5);
  EXPECT_EQ(options.fps, 8.0);
  EXPECT_EQ(options.cfg, 2.5);
  EXPECT_EQ(options.seed, 18446744073709551615ULL);
  EXPECT_EQ(options.overwrite, true);
  EXPECT_FALSE(options.steps);
}

TEST(RunConfig, NamesFileAndKey) {
  const auto expect_bad = [](const std::string& text, const std::vector<std::string>& parts) {
    expect_error(ErrorCode::kInvalidArgument, parts, [&] { load(text); });
  };
  expect_bad(R"({"promt": "x"})", {"run.json", "promt", "prompt"});
  expect_bad(R"({"negative_prompt": "x"})", {"negative_prompt", "negative-prompt"});
  expect_bad(R"({"help": true})", {"run.json", "help"});
  expect_bad(R"({"from": "x.mp4"})", {"run.json", "from"});
  expect_bad(R"({"size": "64"})", {"run.json", "size", "64", "WIDTHxHEIGHT"});
  expect_bad(R"({"size": [64, 64]})", {"run.json", "size"});
  expect_bad(R"({"frames": 0})", {"run.json", "frames", "0"});
  expect_bad(R"({"cfg": 1e400})", {"run.json"});
  expect_bad(R"({"prompt": "x", "prompt-file": "y"})", {"run.json", "prompt", "prompt-file"});
  expect_error(ErrorCode::kNotFound, {"/no/such/run.json"},
               [] { load_config("/no/such/run.json"); });
}

TEST(RunConfig, ExamplesAreValid) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(
           std::filesystem::path(PSAGEN_SOURCE_DIR) / "configs/jobs")) {
    if (entry.path().extension() != ".json") continue;
    EXPECT_TRUE(load_config(entry.path()).prompt) << entry.path();
    ++count;
  }
  EXPECT_GE(count, 1);
}

}  // namespace
}  // namespace psagen::app
