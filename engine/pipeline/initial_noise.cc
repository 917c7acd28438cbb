#include "engine/pipeline/initial_noise.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace psagen::engine {
namespace {

constexpr std::size_t kStateSize = 624;
constexpr std::size_t kMiddle = 397;
constexpr std::size_t kBlock = 16;  // torch transforms uniform values 16 at a time

// Box-Muller on one block of uniform values in [0, 1): the first half gives radii, the second half
// angles.
void transform_block(float* values) {
  constexpr float kTwoPi = 2.0f * std::numbers::pi_v<float>;
  for (std::size_t j = 0; j < kBlock / 2; ++j) {
    const float radius = std::sqrt(-2.0f * std::log(1.0f - values[j]));
    const float angle = kTwoPi * values[j + kBlock / 2];
    values[j] = radius * std::cos(angle);
    values[j + kBlock / 2] = radius * std::sin(angle);
  }
}

}  // namespace

// Mersenne Twister MT19937 (Matsumoto and Nishimura 1998) with the 2002 initialisation from one
// integer.
TorchCpuGenerator::TorchCpuGenerator(std::uint64_t seed) : state_(kStateSize), next_(kStateSize) {
  state_[0] = static_cast<std::uint32_t>(seed);
  for (std::size_t i = 1; i < kStateSize; ++i) {
    const std::uint32_t previous = state_[i - 1];
    state_[i] = 1812433253u * (previous ^ (previous >> 30)) + static_cast<std::uint32_t>(i);
  }
}

void TorchCpuGenerator::twist() {
  for (std::size_t i = 0; i < kStateSize; ++i) {
    const std::uint32_t joined =
        (state_[i] & 0x80000000u) | (state_[(i + 1) % kStateSize] & 0x7fffffffu);
    state_[i] = state_[(i + kMiddle) % kStateSize] ^ (joined >> 1) ^
                ((joined & 1u) != 0 ? 0x9908b0dfu : 0u);
  }
  next_ = 0;
}

std::uint32_t TorchCpuGenerator::random() {
  if (next_ == kStateSize) twist();
  std::uint32_t word = state_[next_++];
  word ^= word >> 11;
  word ^= (word << 7) & 0x9d2c5680u;
  word ^= (word << 15) & 0xefc60000u;
  return word ^ (word >> 18);
}

void TorchCpuGenerator::normal(std::span<float> out) {
  if (out.size() < kBlock) {
    for (float& value : out) value = static_cast<float>(next_normal());
    return;
  }
  const auto uniform = [this] { return static_cast<float>(random() & 0xffffffu) * 0x1p-24f; };
  std::generate(out.begin(), out.end(), uniform);
  const std::size_t whole = out.size() / kBlock * kBlock;
  for (std::size_t i = 0; i < whole; i += kBlock) transform_block(out.data() + i);
  if (whole == out.size()) return;
  // A part-filled block is not transformed: the last 16 values are drawn again.
  const std::span<float> last = out.last(kBlock);
  std::generate(last.begin(), last.end(), uniform);
  transform_block(last.data());
}

double TorchCpuGenerator::next_normal() {
  if (has_cached_normal_) {
    has_cached_normal_ = false;
    return cached_normal_;
  }
  const auto uniform = [this] {
    const std::uint64_t high = random();
    const std::uint64_t low = random();
    return static_cast<double>(((high << 32) | low) & ((std::uint64_t{1} << 53) - 1)) * 0x1p-53;
  };
  const double turn = uniform();
  const double radius = std::sqrt(-2.0 * std::log1p(-uniform()));
  const double angle = 2.0 * std::numbers::pi * turn;
  cached_normal_ = radius * std::sin(angle);
  has_cached_normal_ = true;
  return radius * std::cos(angle);
}

}  // namespace psagen::engine
