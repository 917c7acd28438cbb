#include "engine/synth/moving_shapes.h"

#include <algorithm>
#include <cmath>

#include "engine/synth/exact_maths.h"
#include "kernels/core/error.h"

namespace psagen::engine {
namespace {

constexpr std::array<Rgb, 10> kColourRgb = {{{220, 40, 40},
                                             {245, 140, 30},
                                             {245, 220, 50},
                                             {40, 170, 70},
                                             {60, 210, 220},
                                             {40, 80, 220},
                                             {140, 60, 190},
                                             {250, 130, 190},
                                             {245, 245, 245},
                                             {20, 20, 20}}};
constexpr std::array<Rgb, 8> kBackgroundRgb = {{{128, 128, 128},
                                                {25, 35, 90},
                                                {225, 210, 180},
                                                {30, 120, 120},
                                                {90, 110, 150},
                                                {150, 120, 100},
                                                {110, 110, 120},
                                                {120, 140, 120}}};
constexpr std::array<double, 3> kRadius = {0.10, 0.15, 0.21};
constexpr std::array<double, 3> kDistance = {0.2, 0.4, 0.6};
constexpr std::array<std::array<int, 2>, 3> kHeldOutPairs = {{{3, 5}, {6, 2}, {5, 6}}};

// The farthest any outline reaches from its centre, in radii (the corner of the square).
constexpr double kReach = 1.21;

constexpr int kGrows = 9, kShrinks = 10, kSpins = 11;

// Numbers of one clip: element k of the stream keyed by (split, index).
class Draws {
 public:
  Draws(SynthSplit split, std::int64_t index)
      : key_(mix64(mix64(0x6d73686170657331ULL + static_cast<std::uint64_t>(split)) +
                   static_cast<std::uint64_t>(index))) {}
  double uniform() { return static_cast<double>(next() >> 40) * 0x1p-24; }
  int below(int bound) { return static_cast<int>((next() >> 32) * bound >> 32); }

 private:
  std::uint64_t next() { return mix64(key_ + 0x9e3779b97f4a7c15ULL * ++count_); }
  std::uint64_t key_;
  std::uint64_t count_ = 0;
};

bool belongs(SynthSplit split, const SynthClip& clip) {
  if (colours_clash(clip.colour, clip.background)) return false;
  // A spinning circle or ring looks still.
  if (clip.motion == kSpins && (clip.shape == 0 || clip.shape == 4)) return false;
  const bool pair = is_held_out_pair(clip.shape, clip.colour);
  const bool triple = is_held_out_triple(clip.shape, clip.colour, clip.motion);
  switch (split) {
    case SynthSplit::kTestPair:
      return pair;
    case SynthSplit::kTestComp:
      return triple && !pair;
    default:
      return !triple && !pair;
  }
}

std::array<double, 3> to_lab(const Rgb& rgb) {
  const auto linear = [](double v) {
    v /= 255.0;
    return v <= 0.04045 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4);
  };
  const double r = linear(rgb.r), g = linear(rgb.g), b = linear(rgb.b);
  const auto f = [](double v) { return v > 0.008856 ? std::cbrt(v) : 7.787 * v + 16.0 / 116.0; };
  const double x = f((0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.95047);
  const double y = f(0.2126 * r + 0.7152 * g + 0.0722 * b);
  const double z = f((0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.08883);
  return {116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)};
}

Rgb shifted(const Rgb& rgb255, double shift) {
  const auto channel = [&](double v) { return std::clamp(v / 255.0 + shift, 0.0, 1.0); };
  return {channel(rgb255.r), channel(rgb255.g), channel(rgb255.b)};
}

}  // namespace

bool is_held_out_pair(int shape, int colour) {
  return std::any_of(kHeldOutPairs.begin(), kHeldOutPairs.end(),
                     [&](const auto& pair) { return pair[0] == shape && pair[1] == colour; });
}

bool is_held_out_triple(int shape, int colour, int motion) {
  const std::uint64_t id = (static_cast<std::uint64_t>(shape) * 10 + colour) * 12 + motion;
  return mix64(id + 0x9e3779b97f4a7c15ULL) % 100 < 15;
}

bool colours_clash(int colour, int background) {
  const auto a = to_lab(kColourRgb[colour]), b = to_lab(kBackgroundRgb[background]);
  double squared = 0.0;
  for (int i = 0; i < 3; ++i) squared += (a[i] - b[i]) * (a[i] - b[i]);
  return squared < 25.0 * 25.0;
}

SynthClip make_synth_clip(SynthSplit split, std::int64_t index) {
  const auto size = kSynthSplitSizes[static_cast<int>(split)];
  PSAGEN_CHECK(index >= 0 && index < size, ErrorCode::kInvalidArgument, "clip ", index,
               " of split '", kSynthSplits[static_cast<int>(split)], "': it has clips 0 to ",
               size - 1);
  Draws draws(split, index);
  SynthClip clip;
  do {
    clip.shape = draws.below(8);
    clip.colour = draws.below(10);
    clip.motion = draws.below(12);
    clip.speed = draws.below(3);
    clip.size = draws.below(3);
    clip.background = draws.below(8);
  } while (!belongs(split, clip));
  clip.radius = kRadius[clip.size] * (0.9 + 0.2 * draws.uniform());
  clip.distance = kDistance[clip.speed];
  for (double& value : clip.placement) value = draws.uniform();
  clip.object_rgb = shifted(kColourRgb[clip.colour], 0.04 * (draws.uniform() - 0.5));
  clip.background_rgb = shifted(kBackgroundRgb[clip.background], 0.06 * (draws.uniform() - 0.5));
  return clip;
}

SynthPose synth_pose(const SynthClip& clip, double t) {
  const auto& u = clip.placement;
  SynthPose pose{0.0, 0.0, clip.radius, (u[2] - 0.5) * 0.11};
  if (clip.motion == kGrows) pose.radius *= 0.65 + 0.8 * t * (0.5 + clip.distance);
  if (clip.motion == kShrinks) pose.radius *= 1.25 - 0.8 * t * (0.5 + clip.distance);
  if (clip.motion == kSpins) pose.turns += t * (0.15 + clip.distance);

  // Positions that keep the largest extent of the object inside the frame.
  const double largest = clip.motion == kGrows || clip.motion == kShrinks ? 1.45 : 1.0;
  const double low = std::min(0.49, kReach * clip.radius * largest), high = 1.0 - low;
  const double room = high - low;
  const auto along = [&](int direction, double start) {
    const double distance = std::min(clip.distance, 0.98 * room);
    const double free = low + (room - (direction != 0 ? distance : 0.0)) * start;
    return free + distance * (direction > 0 ? t : direction < 0 ? 1.0 - t : 0.0);
  };
  constexpr std::array<std::array<int, 2>, 6> kDirections = {
      {{-1, 0}, {1, 0}, {0, -1}, {0, 1}, {1, -1}, {-1, 1}}};
  if (clip.motion < 6) {
    pose.x = along(kDirections[clip.motion][0], u[0]);
    pose.y = along(kDirections[clip.motion][1], u[1]);
  } else if (clip.motion < 8) {
    const double orbit = std::min(0.12 + 0.12 * u[3], room / 2);
    const double sign = clip.motion == 6 ? 1.0 : -1.0;  // y points down: + is clockwise
    const double phase = u[2] * 7.0 + sign * t * (0.5 + 1.2 * clip.distance);
    pose.x = low + orbit + (room - 2 * orbit) * u[0] + orbit * cos_turns(phase);
    pose.y = low + orbit + (room - 2 * orbit) * u[1] + orbit * sin_turns(phase);
  } else if (clip.motion == 8) {
    pose.x = along(0, u[0]);
    pose.y =
        high - 0.75 * room * std::abs(sin_turns(0.5 * (t * (1.0 + 3.0 * clip.distance) + u[3])));
  } else {
    pose.x = along(0, u[0]);
    pose.y = along(0, u[1]);
  }
  return pose;
}

}  // namespace psagen::engine
