#include "app/output_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/temporary_folder.h"

namespace psagen::app {
namespace {

using psagen::testing::TemporaryFolder;
using psagen::testing::write_text;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

std::string name_of(const std::string& prompt) { return default_output("", prompt, 7).string(); }

TEST(DefaultOutput, IsASafeNameOfPromptAndSeed) {
  EXPECT_EQ(name_of("A Red circle, moving!"), "a-red-circle-moving-seed7.mp4");
  EXPECT_EQ(name_of("../../etc/passwd"), "etc-passwd-seed7.mp4");
  EXPECT_EQ(name_of("  "), "video-seed7.mp4");
  EXPECT_EQ(name_of("???"), "video-seed7.mp4");
  EXPECT_EQ(name_of("Größe 9"), "größe-9-seed7.mp4");
  // A long prompt is cut between characters: 16 of three bytes each.
  std::string characters;
  for (int i = 0; i < 40; ++i) characters += "色";
  EXPECT_EQ(name_of(characters), characters.substr(0, 48) + "-seed7.mp4");
  EXPECT_EQ(name_of(std::string(300, 'a')), std::string(48, 'a') + "-seed7.mp4");
}

TEST(DefaultOutput, TakesAFreeName) {
  const TemporaryFolder folder;
  write_text(folder / "x-seed7.mp4", "");
  write_text(folder / "x-seed7-2.mp4", "");
  EXPECT_EQ(default_output(folder.path(), "x", 7), folder / "x-seed7-3.mp4");
}

TEST(OutputFiles, WritesWhereTold) {
  const TemporaryFolder folder;
  engine::VideoOptions video;
  video.width = video.height = 16;
  video.num_frames = 1;
  GenerateOptions options;
  options.output = folder.path().string();
  options.frames_dir = (folder / "frames").string();
  OutputFiles files(options, video, "hi", 7);
  EXPECT_THAT(folder.names(), IsEmpty());
  const std::vector<std::uint8_t> rgb(16 * 16 * 3);
  files.write({rgb, 16, 16});
  files.finish();
  EXPECT_THAT(folder.names(), UnorderedElementsAre("hi-seed7.mp4", "frames"));
  EXPECT_THAT(files.paths(), UnorderedElementsAre(folder / "hi-seed7.mp4", folder / "frames"));
  EXPECT_GT(files.seconds(), 0.0);
}

}  // namespace
}  // namespace psagen::app
