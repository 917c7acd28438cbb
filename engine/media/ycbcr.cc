#include "engine/media/ycbcr.h"

#include <algorithm>
#include <cmath>

namespace psagen::engine {

namespace {

// Nearest integer, ties upwards; exact, unlike a floating-point division.
constexpr std::int64_t divide_rounded(std::int64_t numerator, std::int64_t denominator) {
  const std::int64_t shifted = 2 * numerator + denominator;
  const std::int64_t quotient = shifted / (2 * denominator);
  return shifted % (2 * denominator) < 0 ? quotient - 1 : quotient;
}

std::uint8_t to_byte(double unit) {
  return static_cast<std::uint8_t>(std::clamp(std::lround(255.0 * unit), 0L, 255L));
}

}  // namespace

Ycbcr10 ycbcr_from_rgb(Rgb8 colour) {
  // Luma in units of 1/2,550,000 (255 levels times 10,000 of the coefficients).
  const std::int64_t luma = 2126 * colour.r + 7152 * colour.g + 722 * colour.b;
  const std::int64_t blue = (10000 * colour.b - luma) * 10000;
  const std::int64_t red = (10000 * colour.r - luma) * 10000;
  return {
      static_cast<std::uint16_t>(64 + divide_rounded(876 * luma, 2550000)),
      static_cast<std::uint16_t>(512 + divide_rounded(896 * blue, std::int64_t{2550000} * 18556)),
      static_cast<std::uint16_t>(512 + divide_rounded(896 * red, std::int64_t{2550000} * 15748)),
  };
}

Rgb8 rgb_from_ycbcr(Ycbcr10 colour) {
  const double y = (colour.y - 64) / 876.0;
  const double cb = (colour.cb - 512) / 896.0;
  const double cr = (colour.cr - 512) / 896.0;
  const double r = y + 1.5748 * cr;
  const double b = y + 1.8556 * cb;
  const double g = (y - 0.2126 * r - 0.0722 * b) / 0.7152;
  return {to_byte(r), to_byte(g), to_byte(b)};
}

}  // namespace psagen::engine
