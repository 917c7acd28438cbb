#pragma once

#include <cstdint>
#include <span>

namespace psagen::engine {

// One 8-bit sRGB frame, rows top to bottom, no padding: height * width * 3 bytes.
struct Frame {
  std::span<const std::uint8_t> rgb;
  std::int64_t width = 0;
  std::int64_t height = 0;
};

}  // namespace psagen::engine
