// Scores that say nothing about what the blocks hold, for measuring what choosing them is worth: a
// fixed hash, so that every device, run, step and layer spreads the levels in the same way.
#pragma once

#include <cstdint>

#include "kernels/core/philox.h"

namespace psagen::kernels {

// In powers of two, in [0, 16), steps of 2^-19: any two scores give weights exp2(score) 11 float32
// spacings apart, far more than two exp2 of different devices differ, so that both sort alike.
// `head` counts over batch and heads.
constexpr float uniform_score(std::uint32_t head, std::uint32_t query_block,
                              std::uint32_t key_block) {
  const std::uint32_t word = philox4x32({key_block, query_block, head, 0}, {})[0];
  return static_cast<float>(word >> 9) * 0x1p-19f;
}

}  // namespace psagen::kernels
