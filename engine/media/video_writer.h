// Finished videos. Every writer works beside the target (`.NAME.partial-PID`), checks what it wrote
// and renames it when whole; a writer destroyed before finish() leaves nothing behind.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "engine/media/frame.h"

namespace psagen::engine {

struct VideoOptions {
  std::int64_t width = 0;   // even for MP4
  std::int64_t height = 0;
  double fps = 16.0;
  std::int64_t num_frames = 0;  // how many will come; finish() fails on another count
  std::string comment;          // JSON for the `comment` tag (MP4) or a sidecar line (see below)
  bool overwrite = false;       // else an existing target is Error(kInvalidArgument)
  int crf = 17;                 // x264 quality
};

class VideoWriter {
 public:
  virtual ~VideoWriter() = default;
  // Throws Error(kIo), for example when the disk is full.
  virtual void write(const Frame& frame) = 0;
  // Closes, re-opens and checks (frame count, size, rate), then renames to the target.
  virtual void finish() = 0;
};

// H.264 High, yuv420p, bt709 limited range with its colour tags, faststart, deterministic bytes.
std::unique_ptr<VideoWriter> open_mp4(const std::filesystem::path& path,
                                      const VideoOptions& options);
// Lossless 4:4:4 planar YUV4MPEG2; the comment goes into an X header field.
std::unique_ptr<VideoWriter> open_y4m(const std::filesystem::path& path,
                                      const VideoOptions& options);
// frame_00000.png ... in a folder that is created; comment as settings.json beside them.
std::unique_ptr<VideoWriter> open_png_folder(const std::filesystem::path& directory,
                                             const VideoOptions& options);

// Fails early, before any work: target exists without overwrite, parent folder missing or not
// writable, odd size for MP4, less free space than a generous estimate.
void check_target(const std::filesystem::path& path, const VideoOptions& options);

}  // namespace psagen::engine
