// A frame rate as the fraction a container stores.
#pragma once

#include <cstdint>
#include <string>

#include "engine/media/video_writer.h"

namespace psagen::engine {

struct FrameRate {
  std::int32_t numerator = 16;
  std::int32_t denominator = 1;
  double value() const { return static_cast<double>(numerator) / denominator; }
};

// The nearest fraction whose parts are at most 65,535 (MPEG-4's limit): 16 -> 16/1, 23.976 ->
// 2997/125. Throws Error(kInvalidArgument) outside 0.1 to 1,000 frames per second.
FrameRate frame_rate(double fps);

// What every writer asks of its options, of each frame and of their number. Throw
// Error(kInvalidArgument).
void check_options(const VideoOptions& options, const std::filesystem::path& path);
void check_frame(const Frame& frame, const VideoOptions& options, std::int64_t frames_before);
void check_frame_count(const VideoOptions& options, std::int64_t written);

}  // namespace psagen::engine
