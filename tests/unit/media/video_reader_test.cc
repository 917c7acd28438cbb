#include "engine/media/video_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/media/video_writer.h"
#include "kernels/core/error.h"
#include "tests/support/temporary_folder.h"

namespace psagen::engine {
namespace {

using psagen::testing::read_text;
using psagen::testing::TemporaryFolder;
using psagen::testing::write_text;
using ::testing::HasSubstr;

void expect_error(ErrorCode code, const std::filesystem::path& path) {
  for (const bool probe : {true, false}) {
    try {
      if (probe) {
        probe_video(path);
      } else {
        read_video(path);
      }
      FAIL() << "read " << path;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.message();
      EXPECT_THAT(error.message(), HasSubstr(path.string()));
    }
  }
}

TEST(VideoReader, NamesTheFileItCannotRead) {
  const TemporaryFolder folder;
  expect_error(ErrorCode::kNotFound, folder / "absent.mp4");
  expect_error(ErrorCode::kIo, folder.path());
  write_text(folder / "text.mp4", "this is no video");
  expect_error(ErrorCode::kInvalidArgument, folder / "text.mp4");
  write_text(folder / "empty.mp4", "");
  expect_error(ErrorCode::kInvalidArgument, folder / "empty.mp4");
}

TEST(VideoReader, CountsWhatIsThereInATruncatedFile) {
  const TemporaryFolder folder;
  VideoOptions options;
  options.width = options.height = 64;
  options.num_frames = 9;
  const auto writer = open_mp4(folder / "clip.mp4", options);
  std::vector<std::uint8_t> rgb(64 * 64 * 3);
  for (int i = 0; i < 9; ++i) {
    for (std::size_t k = 0; k < rgb.size(); ++k)
      rgb[k] = static_cast<std::uint8_t>(k * k * (i + 3));
    writer->write({rgb, 64, 64});
  }
  writer->finish();
  const std::string bytes = read_text(folder / "clip.mp4");
  write_text(folder / "cut.mp4", bytes.substr(0, bytes.size() * 2 / 3));
  EXPECT_LT(probe_video(folder / "cut.mp4").num_frames, 9);
}

}  // namespace
}  // namespace psagen::engine
