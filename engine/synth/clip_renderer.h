// MovingShapes clips as pixels.
#pragma once

#include <cstdint>
#include <span>

#include "engine/synth/moving_shapes.h"

namespace psagen::engine {

// The window of the clip to draw. A clip covers the unit square; `size` pixels span it in both
// directions, and [left, left + width) x [top, top + height) of those pixels are drawn, of frames
// [first_frame, first_frame + num_frames) of clip_frames.
struct SynthWindow {
  std::int64_t size = 256;
  std::int64_t left = 0, top = 0;
  std::int64_t width = 256, height = 256;
  std::int64_t clip_frames = 33;
  std::int64_t first_frame = 0;
  std::int64_t num_frames = 33;
};

// rgb: num_frames * height * width * 3 bytes; coverage: num_frames * height * width bytes, 255
// where the object is and 0 where the background is, or empty. Throws Error(kInvalidArgument) where
// the window or the buffers do not fit.
void render_synth_clip(const SynthClip& clip, const SynthWindow& window,
                       std::span<std::uint8_t> rgb, std::span<std::uint8_t> coverage);

}  // namespace psagen::engine
