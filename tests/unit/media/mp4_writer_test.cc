#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <cstdint>
#include <string>
#include <vector>

#include "engine/media/video_reader.h"
#include "engine/media/video_writer.h"
#include "kernels/core/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/media/video_clips.h"

namespace psagen::engine {
namespace {

using psagen::testing::expect_error;
using psagen::testing::read_text;
using psagen::testing::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Mp4 : public ::testing::TestWithParam<std::string> {};

TEST_P(Mp4, SaysWhatWasAsked) {
  const TemporaryFolder folder;
  for (const std::int64_t frames : {1, 2, 17}) {
    for (const double fps : {16.0, 24000.0 / 1001.0, 12.5}) {
      VideoOptions options = options_of(64, 48, frames);
      options.fps = fps;
      options.overwrite = true;
      options.encoder = GetParam();
      write_clip(*open_mp4(folder / "clip.mp4", options), options);
      const VideoInfo info = probe_video(folder / "clip.mp4");
      EXPECT_EQ(info.width, 64);
      EXPECT_EQ(info.height, 48);
      EXPECT_EQ(info.num_frames, frames);
      EXPECT_NEAR(info.fps, fps, 1e-6);
      EXPECT_EQ(info.comment, kComment);
    }
  }
  EXPECT_THAT(folder.names(), ElementsAre("clip.mp4"));
}

TEST_P(Mp4, PicturesComeBack) {
  const TemporaryFolder folder;
  VideoOptions options = options_of(96, 80, 9);
  options.encoder = GetParam();
  write_clip(*open_mp4(folder / "clip.mp4", options), options);
  const std::vector<Pixels> frames = read_video(folder / "clip.mp4");
  ASSERT_EQ(frames.size(), 9U);
  for (std::size_t i = 0; i < frames.size(); ++i) {
    EXPECT_GT(psnr(frames[i], picture(96, 80, static_cast<std::int64_t>(i))), 35.0) << i;
  }
}

// A flat colour survives coding, so what is left is the colour conversion: the wrong matrix or
// range would be off by 5 levels and more.
TEST_P(Mp4, ColoursAreRight) {
  const TemporaryFolder folder;
  VideoOptions options = options_of(32, 32, 1);
  options.encoder = GetParam();
  options.overwrite = true;
  options.crf = 1;
  const std::uint8_t colours[][3] = {{255, 255, 255}, {0, 0, 0},     {200, 40, 30},
                                     {30, 180, 60},   {20, 60, 210}, {128, 128, 128}};
  for (const auto& colour : colours) {
    Pixels rgb;
    for (int i = 0; i < 32 * 32; ++i) rgb.insert(rgb.end(), colour, colour + 3);
    const auto writer = open_mp4(folder / "flat.mp4", options);
    writer->write({rgb, 32, 32});
    writer->finish();
    const Pixels found = read_video(folder / "flat.mp4").at(0);
    for (int channel = 0; channel < 3; ++channel) {
      EXPECT_NEAR(found[3 * (16 * 32 + 16) + channel], colour[channel], 3) << channel;
    }
  }
}

// What an encoder's memory held before it was allocated must not matter: x264 has read some of it.
TEST_P(Mp4, SameFramesSameBytes) {
  const TemporaryFolder folder;
  VideoOptions options = options_of(64, 64, 17);
  options.encoder = GetParam();
  const auto clip_over = [&](int filling, const char* name) {
    mallopt(M_PERTURB, filling);
    write_clip(*open_mp4(folder / name, options), options);
    mallopt(M_PERTURB, 0);
    return read_text(folder / name);
  };
  const std::string bytes = clip_over(0x01, "a.mp4");
  EXPECT_TRUE(bytes == clip_over(0x55, "b.mp4"));
  EXPECT_TRUE(bytes == clip_over(0xAA, "c.mp4"));
  // faststart: the index comes before the data.
  EXPECT_LT(bytes.find("moov"), bytes.find("mdat"));
}

INSTANTIATE_TEST_SUITE_P(Encoders, Mp4, ::testing::Values("libx264", "mpeg4"));

TEST(Mp4Writer, ChoosesH264AndSaysWhenItCannot) {
  const TemporaryFolder folder;
  VideoOptions options = options_of(32, 32, 1);
  EXPECT_EQ(open_mp4(folder / "a.mp4", options)->note(), "");
  options.encoder = "mpeg4";
  EXPECT_THAT(open_mp4(folder / "a.mp4", options)->note(), HasSubstr("not H.264"));
  options.encoder = "no-such-encoder";
  expect_error(ErrorCode::kUnsupported, {"no-such-encoder"},
               [&] { open_mp4(folder / "a.mp4", options); });
  EXPECT_THAT(folder.names(), IsEmpty());
}

}  // namespace
}  // namespace psagen::engine
