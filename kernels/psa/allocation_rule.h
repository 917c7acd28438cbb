// The rule of level_allocation.h step by step, as functions of plain values that compile for host
// and device alike: both back ends must choose the same levels, bit for bit, from the same
// importance. They differ only in who sorts.
//
// In order: weights from importance; keys sorted descending, equal ones by index; the running sum
// of the sorted weights, in double, one after the other (the order of a sum is part of its value),
// divided by its last value; where it passes the bounds; a level for each position.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <limits>

#include "kernels/psa/psa_params.h"

namespace psagen::kernels {

// Positions in the descending order of importance: level kPsaLevels[i] takes [end[i - 1], end[i]).
using LevelEnds = std::array<std::int64_t, 4>;

// What the official code does and ours does not; only for comparing against its documented results.
struct OfficialRounding {
  // The number of blocks of a level is rounded to a multiple of this (official: a_l).
  std::array<int, 4> merged_blocks = {1, 1, 1, 1};
  // Without these two the rule is that of the paper's code before its repairs.
  bool min_full = true;
  bool best_block_full = true;
};

namespace allocation {

// A cumulative importance this close above a bound still counts as within it (official code).
inline constexpr double kBoundSlack = 1e-6;
// 0.29 * 100 is 28.999999999999996 in double; a share meant as 29 blocks must give 29.
inline constexpr double kQuotaSlack = 1e-9;

constexpr bool is_infinite(float importance) {
  return importance == std::numeric_limits<float>::infinity();
}

// A finite weight >= 0: NaN and negative values count as 0, and infinite ones leave nothing to the
// finite ones of their row.
constexpr float weight_of(float importance, bool row_has_infinite) {
  if (row_has_infinite) return is_infinite(importance) ? 1.0f : 0.0f;
  return importance > 0.0f ? importance : 0.0f;  // false for NaN
}

// Weights in the order of their values.
constexpr std::uint32_t sort_key(float weight) { return std::bit_cast<std::uint32_t>(weight); }

// The share of the row's weight that the sorted positions up to `position` have together. A row
// without any weight says nothing: all blocks alike.
constexpr double cumulative_share(double running_sum, double total, std::int64_t position,
                                  std::int64_t blocks) {
  return total > 0.0 ? running_sum / total
                     : static_cast<double>(position + 1) / static_cast<double>(blocks);
}

constexpr double threshold_bound(const PsaParams& params, std::size_t level_index) {
  return params.level_bounds[level_index] + kBoundSlack;
}

// Rounds [begin, end) up to a multiple, or down where that would reach the end of the row.
constexpr std::int64_t round_length(std::int64_t begin, std::int64_t end, int multiple,
                                    std::int64_t limit) {
  const std::int64_t length = std::max<std::int64_t>(0, end - begin);
  const std::int64_t up = begin + (length + multiple - 1) / multiple * multiple;
  if (up < limit) return up;
  return begin + (std::min(begin + length, limit) - begin) / multiple * multiple;
}

// within[i]: how many cumulative shares are no more than threshold_bound(params, i).
constexpr LevelEnds threshold_ends(const std::array<std::int64_t, 4>& within, std::int64_t blocks,
                                   const PsaParams& params, const OfficialRounding& rounding = {}) {
  LevelEnds ends{};
  std::int64_t previous = 0;
  for (std::size_t i = 0; i < ends.size(); ++i) {
    // The block that crosses the bound still belongs to the level.
    std::int64_t end = within[i] >= 1 ? within[i] + 1 : previous;
    if (rounding.merged_blocks[i] > 1)
      end = round_length(previous, end, rounding.merged_blocks[i], blocks);
    end = std::clamp(end, previous, blocks);
    if (i == 0) {
      std::int64_t least = rounding.best_block_full ? 1 : 0;
      if (rounding.min_full)
        least = static_cast<std::int64_t>(params.min_full_ratio * static_cast<double>(blocks)) + 1;
      end = std::clamp(end, std::min(least, blocks), blocks);
    }
    ends[i] = previous = end;
  }
  return ends;
}

constexpr LevelEnds quota_ends(std::int64_t blocks, const PsaParams& params) {
  LevelEnds ends{};
  std::int64_t previous = std::min<std::int64_t>(1, blocks);  // the best block at level 1
  for (std::size_t i = 0; i < ends.size(); ++i) {
    const double share = params.level_bounds[i] * static_cast<double>(blocks);
    const std::int64_t end = static_cast<std::int64_t>(share + kQuotaSlack);
    ends[i] = previous = std::clamp(end, previous, blocks);
  }
  return ends;
}

// `cap` is the coarsest level allowed; it never keeps a skipped block.
constexpr std::uint8_t level_at(std::int64_t position, const LevelEnds& ends, std::uint8_t cap) {
  for (std::size_t i = 0; i < ends.size(); ++i)
    if (position < ends[i]) return std::min(static_cast<std::uint8_t>(1 << i), cap);  // kPsaLevels
  return 0;
}

}  // namespace allocation
}  // namespace psagen::kernels
