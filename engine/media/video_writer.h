// Finished videos. Every writer works beside the target (`.NAME.partial-PID`), checks what it wrote
// and renames it when whole; a writer destroyed before finish() leaves nothing behind.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "engine/media/frame.h"

namespace psagen::engine {

struct VideoOptions {
  std::int64_t width = 0;  // even for MP4
  std::int64_t height = 0;
  double fps = 16.0;
  std::int64_t num_frames = 0;  // how many will come; finish() fails on another count
  std::string comment;     // JSON: MP4's `comment` tag, or a file beside the frames (see below)
  bool overwrite = false;  // else an existing target is Error(kInvalidArgument)
  int crf = 17;            // x264 quality
  std::string encoder;     // of FFmpeg; empty: libx264 where it has that, else mpeg4
};

class VideoWriter {
 public:
  virtual ~VideoWriter() = default;
  // Throws Error(kIo), for example when the disk is full.
  virtual void write(const Frame& frame) = 0;
  // Closes, re-opens and checks (frame count, size, rate), then renames to the target.
  virtual void finish() = 0;
  // A line for the user where something less than asked for was chosen; else empty.
  virtual std::string note() const { return {}; }
};

// H.264 High, yuv420p, bt709 limited range with its colour tags, faststart, deterministic bytes.
std::unique_ptr<VideoWriter> open_mp4(const std::filesystem::path& path,
                                      const VideoOptions& options);
// YUV4MPEG2, planar 4:4:4 at 10 bits, bt709 limited range: lossless, since every 8-bit RGB colour
// comes back exactly (engine/media/ycbcr.h). The comment goes to NAME.y4m.json beside it, because
// readers (FFmpeg's for one) refuse a header line longer than 96 bytes.
std::unique_ptr<VideoWriter> open_y4m(const std::filesystem::path& path,
                                      const VideoOptions& options);
std::filesystem::path y4m_comment_path(const std::filesystem::path& path);

// frame_00000.png ... in a folder that is created (an empty one is taken over); the comment is
// settings.json beside them. With `overwrite` the frames of a folder that exists are replaced and
// its other files kept. Lossless.
std::unique_ptr<VideoWriter> open_png_folder(const std::filesystem::path& directory,
                                             const VideoOptions& options);

// The writer that the extension of `path` asks for: .mp4 or .y4m. Throws Error(kInvalidArgument)
// for another one.
std::unique_ptr<VideoWriter> open_video(const std::filesystem::path& path,
                                        const VideoOptions& options);

// Fails early, before any work, and leaves nothing. Error(kInvalidArgument): unknown extension,
// target exists without overwrite, odd size for MP4. Error(kIo): parent folder missing or not
// writable, less free space than a generous estimate.
void check_target(const std::filesystem::path& path, const VideoOptions& options);
// The same for open_png_folder.
void check_frames_directory(const std::filesystem::path& directory, const VideoOptions& options);

}  // namespace psagen::engine
