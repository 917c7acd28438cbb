// 8-bit R'G'B' <-> 10-bit Y'CbCr 4:4:4, BT.709, limited range (Rec. ITU-R BT.709-6, items 3 and 4).
//
// At 10 bits this is lossless for 8-bit colours: half a level of Y' is 255/876/2 = 0.146 and half a
// level of Cb or Cr moves B by 255/896/2 * 1.8556 = 0.264 and R by 0.224, so the sum stays below
// 0.5 and rounding gives every colour back. (At 8 bits it is not: 3 of 4 colours change.)
#pragma once

#include <cstdint>

namespace psagen::engine {

struct Rgb8 {
  std::uint8_t r = 0;
  std::uint8_t g = 0;
  std::uint8_t b = 0;
  bool operator==(const Rgb8&) const = default;
};

struct Ycbcr10 {
  std::uint16_t y = 0;   // 64 to 940
  std::uint16_t cb = 0;  // 64 to 960
  std::uint16_t cr = 0;
  bool operator==(const Ycbcr10&) const = default;
};

Ycbcr10 ycbcr_from_rgb(Rgb8 colour);
Rgb8 rgb_from_ycbcr(Ycbcr10 colour);  // clamped to 0..255

}  // namespace psagen::engine
