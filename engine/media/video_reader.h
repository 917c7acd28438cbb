// What a finished video says about itself, and its frames.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace psagen::engine {

struct VideoInfo {
  std::int64_t width = 0;
  std::int64_t height = 0;
  std::int64_t num_frames = 0;
  double fps = 0.0;
  std::string comment;  // the `comment` tag, empty where there is none
};

// Reads every packet, so that the frame count is a fact. Throws Error(kNotFound, kIo,
// kInvalidArgument) naming the file.
VideoInfo probe_video(const std::filesystem::path& path);

// Frame after frame as 8-bit RGB, height * width * 3 bytes each.
std::vector<std::vector<std::uint8_t>> read_video(const std::filesystem::path& path);

}  // namespace psagen::engine
