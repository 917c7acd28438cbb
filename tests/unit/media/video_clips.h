// Clips for the tests of video writers.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/media/video_writer.h"

namespace psagen::engine {

using Pixels = std::vector<std::uint8_t>;

inline constexpr const char* kComment =
    R"({"prompt":"ein Bär \"quoted\"","seed":18446744073709551615})";

inline VideoOptions options_of(std::int64_t width, std::int64_t height, std::int64_t frames) {
  VideoOptions options;
  options.width = width;
  options.height = height;
  options.num_frames = frames;
  options.comment = kComment;
  return options;
}

// A smooth picture that moves, so that lossy coding stays near it.
inline Pixels picture(std::int64_t width, std::int64_t height, std::int64_t time) {
  Pixels rgb;
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      const double phase = 0.06 * static_cast<double>(x + 2 * time);
      rgb.push_back(static_cast<std::uint8_t>(std::lround(127.5 + 100.0 * std::sin(phase))));
      rgb.push_back(static_cast<std::uint8_t>(60 + (y * 120) / height));
      rgb.push_back(static_cast<std::uint8_t>(std::lround(127.5 + 80.0 * std::cos(phase))));
    }
  }
  return rgb;
}

// Every byte differs from its neighbours': nothing survives a lossy step.
inline Pixels noise(std::int64_t width, std::int64_t height, std::uint32_t seed) {
  Pixels rgb(static_cast<std::size_t>(width * height * 3));
  for (std::uint8_t& value : rgb) {
    seed = seed * 1664525U + 1013904223U;
    value = static_cast<std::uint8_t>(seed >> 24);
  }
  return rgb;
}

using Picture = Pixels (*)(std::int64_t, std::int64_t, std::int64_t);

inline void write_clip(VideoWriter& writer, const VideoOptions& options, Picture make = picture) {
  for (std::int64_t i = 0; i < options.num_frames; ++i) {
    const Pixels rgb = make(options.width, options.height, i);
    writer.write({rgb, options.width, options.height});
  }
  writer.finish();
}

inline double psnr(const Pixels& a, const Pixels& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::pow(double(a[i]) - double(b[i]), 2);
  return 10.0 * std::log10(255.0 * 255.0 * static_cast<double>(a.size()) / std::max(sum, 1e-9));
}

}  // namespace psagen::engine
