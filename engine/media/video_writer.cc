#include "engine/media/video_writer.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <string>

#include "engine/media/frame_rate.h"
#include "engine/media/partial_file.h"
#include "kernels/core/error.h"

namespace psagen::engine {

namespace fs = std::filesystem;

namespace {

enum class Container { kMp4, kY4m };

Container container_of(const fs::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (extension == ".mp4") return Container::kMp4;
  PSAGEN_CHECK(extension == ".y4m", ErrorCode::kInvalidArgument, "output ", path.string(),
               " ends in '", extension, "'; wanted .mp4 or .y4m");
  return Container::kY4m;
}

std::uint64_t frame_bytes(const VideoOptions& options, double bytes_per_pixel) {
  return static_cast<std::uint64_t>(static_cast<double>(options.width * options.height) *
                                    static_cast<double>(options.num_frames) * bytes_per_pixel);
}

void check_free_space(const fs::path& target, const fs::path& folder, std::uint64_t wanted) {
  struct statvfs disk {};
  if (::statvfs(folder.c_str(), &disk) != 0) throw_write_error(target, errno);
  const std::uint64_t found = std::uint64_t{disk.f_bavail} * disk.f_frsize;
  PSAGEN_CHECK(found >= wanted, ErrorCode::kIo, "cannot write ", target.string(), ": ", found >> 10,
               " KiB free in ", folder.string(), ", wanted ", (wanted >> 10) + 1, " KiB");
}

}  // namespace

FrameRate frame_rate(double fps) {
  PSAGEN_CHECK(fps >= 0.1 && fps <= 1000.0, ErrorCode::kInvalidArgument, "fps is ", fps,
               ", wanted 0.1 to 1000");
  // Continued fraction: each convergent is the nearest fraction with parts of that size.
  constexpr double kLimit = 65535.0;
  double p0 = 0.0, q0 = 1.0, p1 = 1.0, q1 = 0.0, rest = fps;
  for (int term = 0; term < 32; ++term) {
    const double whole = std::floor(rest);
    const double p2 = whole * p1 + p0;
    const double q2 = whole * q1 + q0;
    if (p2 > kLimit || q2 > kLimit) break;
    p0 = p1, q0 = q1, p1 = p2, q1 = q2;
    if (std::abs(p1 / q1 - fps) < 1e-9 * fps) break;
    rest = 1.0 / (rest - whole);
  }
  return {static_cast<std::int32_t>(p1), static_cast<std::int32_t>(q1)};
}

void check_options(const VideoOptions& options, const fs::path& path) {
  PSAGEN_CHECK(
      options.width > 0 && options.height > 0 && options.width <= 16384 && options.height <= 16384,
      ErrorCode::kInvalidArgument, "video size for ", path.string(), " is ", options.width, "x",
      options.height, ", wanted 1 to 16384 a side");
  PSAGEN_CHECK(options.num_frames > 0, ErrorCode::kInvalidArgument, "frame count for ",
               path.string(), " is ", options.num_frames, ", wanted at least 1");
  frame_rate(options.fps);
}

void check_frame(const Frame& frame, const VideoOptions& options, std::int64_t frames_before) {
  PSAGEN_CHECK(frame.width == options.width && frame.height == options.height,
               ErrorCode::kInvalidArgument, "frame ", frames_before, " is ", frame.width, "x",
               frame.height, ", wanted ", options.width, "x", options.height);
  PSAGEN_CHECK(frame.rgb.size() == static_cast<std::size_t>(frame.width * frame.height * 3),
               ErrorCode::kInvalidArgument, "frame ", frames_before, " has ", frame.rgb.size(),
               " bytes, wanted ", frame.width * frame.height * 3);
  PSAGEN_CHECK(frames_before < options.num_frames, ErrorCode::kInvalidArgument,
               "more frames came than the ", options.num_frames, " announced");
}

void check_frame_count(const VideoOptions& options, std::int64_t written) {
  PSAGEN_CHECK(written == options.num_frames, ErrorCode::kInvalidArgument, written,
               " frames came, wanted ", options.num_frames);
}

std::unique_ptr<VideoWriter> open_video(const fs::path& path, const VideoOptions& options) {
  return container_of(path) == Container::kMp4 ? open_mp4(path, options) : open_y4m(path, options);
}

void check_target(const fs::path& path, const VideoOptions& options) {
  const Container container = container_of(path);
  check_options(options, path);
  PSAGEN_CHECK(container != Container::kMp4 || (options.width % 2 == 0 && options.height % 2 == 0),
               ErrorCode::kInvalidArgument, "MP4 needs even sizes, found ", options.width, "x",
               options.height);
  check_new_file(path, options.overwrite);
  if (container == Container::kY4m) check_new_file(y4m_comment_path(path), options.overwrite);
  // H.264 of pure noise comes near its raw 4:2:0 size; y4m is three 16-bit planes.
  const double bytes_per_pixel = container == Container::kMp4 ? 1.5 : 6.0;
  check_free_space(path, partial_path(path).parent_path(), frame_bytes(options, bytes_per_pixel));
}

void check_frames_directory(const fs::path& directory, const VideoOptions& options) {
  check_options(options, directory);
  std::error_code error;
  const fs::file_status status = fs::status(directory, error);
  if (fs::exists(status)) {
    PSAGEN_CHECK(fs::is_directory(status), ErrorCode::kInvalidArgument, "frames folder ",
                 directory.string(), " is a file");
    PSAGEN_CHECK(options.overwrite || fs::is_empty(directory, error), ErrorCode::kInvalidArgument,
                 "frames folder ", directory.string(),
                 " exists already and is not empty; give --overwrite to replace its frames");
  }
  check_parent(directory);
  check_free_space(directory, partial_path(directory).parent_path(), frame_bytes(options, 3.0));
}

}  // namespace psagen::engine
