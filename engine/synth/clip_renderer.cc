// Signed distance of each shape, one-pixel smooth edges, blended in sRGB, rounded to 8 bits.
// Only additions, multiplications, divisions, square roots and comparisons (all correctly rounded;
// this file is built without fused multiply-add), so that the bytes are the same everywhere.
#include "engine/synth/clip_renderer.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/synth/exact_maths.h"
#include "kernels/core/error.h"

namespace psagen::engine {
namespace {

constexpr float kHalfSqrt3 = 0.8660254f;

float star_distance(float x, float y) {
  // Fold the plane into the 36 degree wedge between a tip (up) and the notch beside it.
  constexpr float kSin36 = 0.58778525f, kCos36 = 0.80901699f, kNotch = 0.45f;
  float u = -y;
  for (int fold = 0; fold < 2; ++fold) {
    x = std::abs(x);
    const float beyond = x * kCos36 - u * kSin36;  // positive outside the wedge
    if (beyond > 0.0f) {
      x -= 2.0f * beyond * kCos36;
      u += 2.0f * beyond * kSin36;
    }
  }
  x = std::abs(x);
  // Signed distance to the line from the tip (0, 1) to the notch.
  const float ex = kNotch * kSin36, ey = kNotch * kCos36 - 1.0f;
  const float length = std::sqrt(ex * ex + ey * ey);
  return ((u - 1.0f) * ex - x * ey) / length;
}

float heart_distance(float x, float y) {
  // A diamond under two discs that share its upper sides.
  constexpr float kSide = 0.8f, kCentre = -0.083f, kSqrtHalf = 0.70710678f;
  const float u = -y - kCentre, a = std::abs(x);
  const float diamond = (a + std::abs(u) - kSide) * kSqrtHalf;
  const float dx = a - 0.5f * kSide, du = u - 0.5f * kSide;
  return std::min(diamond, std::sqrt(dx * dx + du * du) - kSide * kSqrtHalf);
}

// In units of the radius; x right, y down, negative inside.
float shape_distance(int shape, float x, float y) {
  const float a = std::abs(x), b = std::abs(y);
  switch (shape) {
    case 0:
      return std::sqrt(x * x + y * y) - 1.0f;
    case 1:
      return std::max(a, b) - 0.85f;
    case 2:
      return std::max(kHalfSqrt3 * a - 0.5f * y, y) - 0.5f;
    case 3:
      return star_distance(x, y);
    case 4:
      return std::abs(std::sqrt(x * x + y * y) - 0.72f) - 0.26f;
    case 5:
      return std::min(std::max(a - 1.0f, b - 0.35f), std::max(b - 1.0f, a - 0.35f));
    case 6:
      return heart_distance(x, y);
    default:
      return std::max(kHalfSqrt3 * a + 0.5f * b, b) - 0.86f;
  }
}

float background_offset(int background, double x, double y) {
  switch (background) {
    case 4:
      return static_cast<float>(0.5 * (y - 0.5));
    case 5:
      return static_cast<float>(0.5 * (x - 0.5));
    case 6: {
      const int parity = (static_cast<int>(x * 8.0) + static_cast<int>(y * 8.0)) & 1;
      return parity ? 0.07f : -0.07f;
    }
    case 7:
      return static_cast<float>(0.06 * sin_turns(6.0 * x));
    default:
      return 0.0f;
  }
}

std::uint8_t to_byte(float value) { return static_cast<std::uint8_t>(value * 255.0f + 0.5f); }

void draw_background(const SynthClip& clip, const SynthWindow& window, std::uint8_t* rgb) {
  const float base[3] = {static_cast<float>(clip.background_rgb.r),
                         static_cast<float>(clip.background_rgb.g),
                         static_cast<float>(clip.background_rgb.b)};
  const double step = 1.0 / static_cast<double>(window.size);
  for (std::int64_t row = 0; row < window.height; ++row) {
    const double y = (static_cast<double>(window.top + row) + 0.5) * step;
    for (std::int64_t col = 0; col < window.width; ++col) {
      const double x = (static_cast<double>(window.left + col) + 0.5) * step;
      const float offset = background_offset(clip.background, x, y);
      for (const float channel : base) *rgb++ = to_byte(std::clamp(channel + offset, 0.0f, 1.0f));
    }
  }
}

// Draws the object over a finished background frame; touches only the pixels it can reach.
void draw_object(const SynthClip& clip, const SynthPose& pose, const SynthWindow& window,
                 std::uint8_t* rgb, std::uint8_t* coverage) {
  const double scale = static_cast<double>(window.size);
  const double reach = 1.25 * pose.radius;
  const auto first = [&](double centre, std::int64_t offset, std::int64_t extent) {
    return std::clamp<std::int64_t>(
        static_cast<std::int64_t>(std::floor((centre - reach) * scale)) - 1 - offset, 0, extent);
  };
  const auto last = [&](double centre, std::int64_t offset, std::int64_t extent) {
    return std::clamp<std::int64_t>(
        static_cast<std::int64_t>(std::floor((centre + reach) * scale)) + 2 - offset, 0, extent);
  };
  const float cosine = static_cast<float>(cos_turns(pose.turns));
  const float sine = static_cast<float>(sin_turns(pose.turns));
  const float inverse_radius = static_cast<float>(1.0 / pose.radius);
  const float radius_pixels = static_cast<float>(pose.radius * scale);
  const float colour[3] = {static_cast<float>(clip.object_rgb.r) * 255.0f,
                           static_cast<float>(clip.object_rgb.g) * 255.0f,
                           static_cast<float>(clip.object_rgb.b) * 255.0f};
  const std::int64_t left = first(pose.x, window.left, window.width);
  const std::int64_t right = last(pose.x, window.left, window.width);
  const std::int64_t bottom = last(pose.y, window.top, window.height);
  for (std::int64_t row = first(pose.y, window.top, window.height); row < bottom; ++row) {
    const float dy =
        static_cast<float>((static_cast<double>(window.top + row) + 0.5) / scale - pose.y) *
        inverse_radius;
    for (std::int64_t col = left; col < right; ++col) {
      const float dx =
          static_cast<float>((static_cast<double>(window.left + col) + 0.5) / scale - pose.x) *
          inverse_radius;
      const float distance =
          shape_distance(clip.shape, cosine * dx + sine * dy, cosine * dy - sine * dx);
      const float alpha = std::clamp(0.5f - distance * radius_pixels, 0.0f, 1.0f);
      if (alpha == 0.0f) continue;
      std::uint8_t* pixel = rgb + (row * window.width + col) * 3;
      for (int c = 0; c < 3; ++c) {
        const float under = static_cast<float>(pixel[c]);
        pixel[c] = static_cast<std::uint8_t>(under + (colour[c] - under) * alpha + 0.5f);
      }
      if (coverage != nullptr) coverage[row * window.width + col] = to_byte(alpha);
    }
  }
}

}  // namespace

void render_synth_clip(const SynthClip& clip, const SynthWindow& window,
                       std::span<std::uint8_t> rgb, std::span<std::uint8_t> coverage) {
  PSAGEN_CHECK(window.left >= 0 && window.top >= 0 && window.width > 0 && window.height > 0 &&
                   window.left + window.width <= window.size &&
                   window.top + window.height <= window.size && window.clip_frames > 1 &&
                   window.first_frame >= 0 && window.num_frames > 0 &&
                   window.first_frame + window.num_frames <= window.clip_frames,
               ErrorCode::kInvalidArgument, "the window does not lie inside the clip of ",
               window.size, "x", window.size, " pixels and ", window.clip_frames, " frames");
  const std::size_t frame_pixels = static_cast<std::size_t>(window.width * window.height);
  const std::size_t pixels = frame_pixels * static_cast<std::size_t>(window.num_frames);
  PSAGEN_CHECK(rgb.size() == pixels * 3 && (coverage.empty() || coverage.size() == pixels),
               ErrorCode::kInvalidArgument, "the frame buffer holds ", rgb.size(),
               " bytes, wanted ", pixels * 3);
  draw_background(clip, window, rgb.data());
  for (std::int64_t f = 1; f < window.num_frames; ++f)
    std::memcpy(rgb.data() + f * frame_pixels * 3, rgb.data(), frame_pixels * 3);
  if (!coverage.empty()) std::memset(coverage.data(), 0, coverage.size());
  for (std::int64_t f = 0; f < window.num_frames; ++f) {
    const double t =
        static_cast<double>(window.first_frame + f) / static_cast<double>(window.clip_frames - 1);
    draw_object(clip, synth_pose(clip, t), window, rgb.data() + f * frame_pixels * 3,
                coverage.empty() ? nullptr : coverage.data() + f * frame_pixels);
  }
}

}  // namespace psagen::engine
