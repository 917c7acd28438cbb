// The renderer as a plain C library, so that the training scripts draw their clips with the
// program's own code (scripts/training/moving_shapes.py loads it).
#include <cstdint>
#include <cstring>
#include <exception>
#include <string>

#include "engine/synth/clip_renderer.h"

extern "C" {

int psagen_synth_version() { return psagen::engine::kMovingShapesVersion; }

// rgb and coverage as in render_synth_clip; coverage may be null. Returns 0, or -1 for bad
// arguments.
int psagen_synth_render(int split, std::int64_t index, std::int64_t size, std::int64_t left,
                        std::int64_t top, std::int64_t width, std::int64_t height,
                        std::int64_t clip_frames, std::int64_t first_frame, std::int64_t num_frames,
                        std::uint8_t* rgb, std::uint8_t* coverage) {
  try {
    const auto clip =
        psagen::engine::make_synth_clip(static_cast<psagen::engine::SynthSplit>(split), index);
    const std::size_t pixels = static_cast<std::size_t>(width * height * num_frames);
    psagen::engine::render_synth_clip(
        clip, {size, left, top, width, height, clip_frames, first_frame, num_frames},
        {rgb, pixels * 3}, {coverage, coverage != nullptr ? pixels : 0});
    return 0;
  } catch (const std::exception&) {
    return -1;
  }
}

// Many clips, in parallel. `windows` holds (left, top, first_frame) per clip; outputs are
// contiguous.
int psagen_synth_render_batch(int split, std::int64_t count, const std::int64_t* indices,
                              const std::int64_t* windows, std::int64_t size, std::int64_t width,
                              std::int64_t height, std::int64_t clip_frames,
                              std::int64_t num_frames, std::uint8_t* rgb, std::uint8_t* coverage) {
  const std::int64_t pixels = width * height * num_frames;
  int failed = 0;
#pragma omp parallel for schedule(dynamic) reduction(+ : failed)
  for (std::int64_t i = 0; i < count; ++i) {
    failed += psagen_synth_render(split, indices[i], size, windows[3 * i], windows[3 * i + 1],
                                  width, height, clip_frames, windows[3 * i + 2], num_frames,
                                  rgb + i * pixels * 3,
                                  coverage != nullptr ? coverage + i * pixels : nullptr) != 0;
  }
  return failed;
}

// Where the object is in each frame: (x, y, radius, turns) per frame; attributes: shape, colour,
// motion, speed, size, background. Returns 0, or -1 for bad arguments.
int psagen_synth_describe(int split, std::int64_t index, std::int64_t num_frames, int* attributes,
                          double* poses) {
  try {
    const auto clip =
        psagen::engine::make_synth_clip(static_cast<psagen::engine::SynthSplit>(split), index);
    const int values[6] = {clip.shape, clip.colour, clip.motion,
                           clip.speed, clip.size,   clip.background};
    std::memcpy(attributes, values, sizeof(values));
    for (std::int64_t f = 0; f < num_frames; ++f) {
      const auto pose = psagen::engine::synth_pose(
          clip, static_cast<double>(f) / static_cast<double>(num_frames - 1));
      const double row[4] = {pose.x, pose.y, pose.radius, pose.turns};
      std::memcpy(poses + 4 * f, row, sizeof(row));
    }
    return 0;
  } catch (const std::exception&) {
    return -1;
  }
}

// Writes the caption and a terminating zero; returns its length, or -1 where it does not fit.
int psagen_synth_caption(int split, std::int64_t index, std::uint64_t variant, char* text,
                         int capacity) {
  try {
    const auto clip =
        psagen::engine::make_synth_clip(static_cast<psagen::engine::SynthSplit>(split), index);
    const std::string caption = psagen::engine::synth_caption(clip, variant);
    if (static_cast<int>(caption.size()) + 1 > capacity) return -1;
    std::memcpy(text, caption.c_str(), caption.size() + 1);
    return static_cast<int>(caption.size());
  } catch (const std::exception&) {
    return -1;
  }
}
}
