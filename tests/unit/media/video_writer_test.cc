#include "engine/media/video_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "engine/media/video_reader.h"
#include "kernels/core/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/media/file_limit.h"
#include "tests/unit/media/video_clips.h"

namespace psagen::engine {
namespace {

using psagen::testing::expect_error;
namespace fs = std::filesystem;
using psagen::testing::FileLimit;
using psagen::testing::read_text;
using psagen::testing::TemporaryFolder;
using psagen::testing::write_text;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

// Memory that ends where the next byte may not be read: page-locked memory does.
class GuardedBytes {
 public:
  explicit GuardedBytes(const Pixels& values)
      : page_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))),
        room_((values.size() + page_ - 1) / page_ * page_) {
    void* const memory =
        mmap(nullptr, room_ + page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return;
    begin_ = static_cast<std::uint8_t*>(memory);
    mprotect(begin_ + room_, page_, PROT_NONE);
    values_ = std::span(begin_ + room_ - values.size(), values.size());
    std::copy(values.begin(), values.end(), values_.begin());
  }
  ~GuardedBytes() {
    if (begin_ != nullptr) munmap(begin_, room_ + page_);
  }
  GuardedBytes(const GuardedBytes&) = delete;
  GuardedBytes& operator=(const GuardedBytes&) = delete;

  std::span<const std::uint8_t> values() const { return values_; }

 private:
  std::size_t page_, room_;
  std::uint8_t* begin_ = nullptr;
  std::span<std::uint8_t> values_;
};

TEST(VideoWriter, ReadsNoByteBehindAFrame) {
  for (const char* name : {"clip.mp4", "clip.y4m"}) {
    for (const std::int64_t width : {16, 62, 64, 832}) {
      const TemporaryFolder folder;
      const VideoOptions options = options_of(width, 48, 2);
      const auto writer = open_video(folder / name, options);
      for (std::int64_t i = 0; i < 2; ++i) {
        const GuardedBytes rgb(picture(width, 48, i));
        ASSERT_FALSE(rgb.values().empty());
        writer->write({rgb.values(), width, 48});
      }
      writer->finish();
    }
  }
}

struct Kind {
  const char* name;
  std::unique_ptr<VideoWriter> (*open)(const fs::path&, const VideoOptions&);
};

void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.name; }

class AnyWriter : public ::testing::TestWithParam<Kind> {
 protected:
  fs::path target() const { return folder_ / GetParam().name; }
  TemporaryFolder folder_;
};

TEST_P(AnyWriter, LeavesNothingWhenDestroyedEarly) {
  const VideoOptions options = options_of(32, 32, 3);
  {
    const auto writer = GetParam().open(target(), options);
    const Pixels rgb = picture(32, 32, 0);
    writer->write({rgb, 32, 32});
    EXPECT_FALSE(fs::exists(target()));
  }
  EXPECT_THAT(folder_.names(), IsEmpty());
}

TEST_P(AnyWriter, RefusesOtherFramesThanAnnounced) {
  const VideoOptions options = options_of(32, 32, 2);
  const Pixels rgb = picture(32, 32, 0);
  const auto writer = GetParam().open(target(), options);
  expect_error(ErrorCode::kInvalidArgument, {"16x32"}, [&] { writer->write({rgb, 16, 32}); });
  writer->write({rgb, 32, 32});
  expect_error(ErrorCode::kInvalidArgument, {"1 frames came, wanted 2"}, [&] { writer->finish(); });
  writer->write({rgb, 32, 32});
  expect_error(ErrorCode::kInvalidArgument, {"more frames"}, [&] { writer->write({rgb, 32, 32}); });
}

TEST_P(AnyWriter, KeepsWhatExists) {
  const VideoOptions options = options_of(32, 32, 1);
  write_clip(*GetParam().open(target(), options), options);
  expect_error(ErrorCode::kInvalidArgument, {"--overwrite"},
               [&] { GetParam().open(target(), options); });
  VideoOptions again = options;
  again.overwrite = true;
  write_clip(*GetParam().open(target(), again), again);
}

TEST_P(AnyWriter, FullDiskIsAnErrorAndLeavesNothing) {
  const VideoOptions options = options_of(64, 64, 33);
  {
    const FileLimit limit(2000);
    expect_error(ErrorCode::kIo, {target().string()}, [&] {
      write_clip(*GetParam().open(target(), options), options,
                 [](std::int64_t w, std::int64_t h, std::int64_t i) {
                   return noise(w, h, static_cast<std::uint32_t>(i));
                 });
    });
  }
  EXPECT_THAT(folder_.names(), IsEmpty());
}

TEST_P(AnyWriter, MissingParentIsAnError) {
  const VideoOptions options = options_of(32, 32, 1);
  expect_error(ErrorCode::kIo, {"there is no folder"},
               [&] { GetParam().open(folder_ / "absent" / GetParam().name, options); });
}

TEST_P(AnyWriter, MoreSpaceThanThereIsIsAnError) {
  VideoOptions options = options_of(16384, 16384, 4000000001);
  expect_error(ErrorCode::kIo, {"KiB free"}, [&] { GetParam().open(target(), options); });
  EXPECT_THAT(folder_.names(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Writers, AnyWriter,
                         ::testing::Values(Kind{"clip.mp4", &open_mp4}, Kind{"clip.y4m", &open_y4m},
                                           Kind{"frames", &open_png_folder}));

TEST(Y4mWriter, IsLossless) {
  const TemporaryFolder folder;
  const VideoOptions options = options_of(37, 21, 3);
  const auto make = [](std::int64_t w, std::int64_t h, std::int64_t i) {
    return noise(w, h, static_cast<std::uint32_t>(i + 7));
  };
  write_clip(*open_y4m(folder / "clip.y4m", options), options, make);
  const VideoInfo info = probe_video(folder / "clip.y4m");
  EXPECT_EQ(info.num_frames, 3);
  EXPECT_EQ(info.fps, 16.0);
  const std::vector<Pixels> frames = read_video(folder / "clip.y4m");
  ASSERT_EQ(frames.size(), 3U);
  for (std::int64_t i = 0; i < 3; ++i) EXPECT_EQ(frames[i], make(37, 21, i)) << "frame " << i;
  EXPECT_EQ(read_text(y4m_comment_path(folder / "clip.y4m")), std::string(kComment) + "\n");
}

TEST(Y4mWriter, HeaderFitsReadersLimit) {
  const TemporaryFolder folder;
  VideoOptions options = options_of(16384, 2, 1);
  options.fps = 24000.0 / 1001.0;
  options.comment.clear();
  write_clip(*open_y4m(folder / "clip.y4m", options), options);
  const std::string bytes = read_text(folder / "clip.y4m");
  EXPECT_LE(bytes.find('\n'), 96U);
  EXPECT_EQ(probe_video(folder / "clip.y4m").width, 16384);
  EXPECT_THAT(folder.names(), ElementsAre("clip.y4m"));
}

TEST(PngFolder, IsLosslessAndNumbered) {
  const TemporaryFolder folder;
  const VideoOptions options = options_of(33, 18, 2);
  const auto make = [](std::int64_t w, std::int64_t h, std::int64_t i) {
    return noise(w, h, static_cast<std::uint32_t>(i + 1));
  };
  write_clip(*open_png_folder(folder / "frames", options), options, make);
  for (std::int64_t i = 0; i < 2; ++i) {
    const std::string name = "frame_0000" + std::to_string(i) + ".png";
    EXPECT_EQ(read_video(folder / "frames" / name).at(0), make(33, 18, i)) << name;
  }
  EXPECT_EQ(read_text(folder / "frames" / "settings.json"), std::string(kComment) + "\n");
}

TEST(PngFolder, OverwritingReplacesFramesAndKeepsOtherFiles) {
  const TemporaryFolder folder;
  VideoOptions options = options_of(16, 16, 3);
  write_clip(*open_png_folder(folder / "frames", options), options);
  write_text(folder / "frames" / "notes.txt", "mine");
  write_text(folder / "frames" / "frame_one.png", "mine too");
  options.num_frames = 1;
  options.overwrite = true;
  write_clip(*open_png_folder(folder / "frames", options), options);
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder / "frames")) {
    names.push_back(entry.path().filename().string());
  }
  EXPECT_THAT(names, UnorderedElementsAre("frame_00000.png", "settings.json", "notes.txt",
                                          "frame_one.png"));
}

TEST(CheckTarget, NamesWhatIsWrong) {
  const TemporaryFolder folder;
  const VideoOptions options = options_of(32, 32, 1);
  expect_error(ErrorCode::kInvalidArgument, {".avi"},
               [&] { check_target(folder / "clip.avi", options); });
  expect_error(ErrorCode::kInvalidArgument, {"even"},
               [&] { check_target(folder / "clip.mp4", options_of(31, 32, 1)); });
  check_target(folder / "clip.y4m", options_of(31, 33, 1));
  fs::create_directory(folder / "taken.mp4");
  expect_error(ErrorCode::kInvalidArgument, {"is a folder"},
               [&] { check_target(folder / "taken.mp4", options); });
  write_text(folder / "file", "");
  expect_error(ErrorCode::kIo, {"there is no folder"},
               [&] { check_target(folder / "file" / "clip.mp4", options); });
  expect_error(ErrorCode::kInvalidArgument, {"is a file"},
               [&] { check_frames_directory(folder / "file", options); });
  expect_error(ErrorCode::kIo, {"/proc/clip.mp4"},
               [&] { check_target("/proc/clip.mp4", options); });
  EXPECT_THAT(folder.names(), UnorderedElementsAre("taken.mp4", "file"));
}

}  // namespace
}  // namespace psagen::engine
