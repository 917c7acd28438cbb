#include "kernels/psa/level_allocation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/core/error.h"

namespace psagen::kernels {
namespace {

// A cumulative importance this close above a bound still counts as within it (official code).
constexpr double kBoundSlack = 1e-6;
// 0.29 * 100 is 28.999999999999996 in double; a share meant as 29 blocks must give 29.
constexpr double kQuotaSlack = 1e-9;

void sanitize(std::span<const float> importance, std::span<double> weight) {
  const bool any_infinite = std::any_of(importance.begin(), importance.end(), [](float value) {
    return value == std::numeric_limits<float>::infinity();
  });
  for (std::size_t j = 0; j < importance.size(); ++j) {
    const float value = importance[j];
    if (any_infinite)
      weight[j] = value == std::numeric_limits<float>::infinity() ? 1.0 : 0.0;
    else
      weight[j] = value > 0.0f ? value : 0.0;  // false for NaN
  }
}

// Rounds [begin, end) up to a multiple, or down where that would reach the end of the row.
std::int64_t round_length(std::int64_t begin, std::int64_t end, int multiple, std::int64_t limit) {
  const std::int64_t length = std::max<std::int64_t>(0, end - begin);
  const std::int64_t up = begin + (length + multiple - 1) / multiple * multiple;
  if (up < limit) return up;
  return begin + (std::min(begin + length, limit) - begin) / multiple * multiple;
}

}  // namespace

OfficialRounding official_rounding(int key_block) {
  constexpr int kTile = 32;
  OfficialRounding rounding;
  for (std::size_t i = 0; i < kPsaLevels.size(); ++i)
    rounding.merged_blocks[i] = (kPsaLevels[i] * kTile + key_block - 1) / key_block;
  return rounding;
}

LevelEnds threshold_level_ends(std::span<const double> cumulative, const PsaParams& params,
                               const OfficialRounding& rounding) {
  const std::int64_t blocks = static_cast<std::int64_t>(cumulative.size());
  LevelEnds ends{};
  std::int64_t previous = 0;
  for (std::size_t i = 0; i < ends.size(); ++i) {
    const double bound = params.level_bounds[i] + kBoundSlack;
    const std::int64_t within =
        std::upper_bound(cumulative.begin(), cumulative.end(), bound) - cumulative.begin();
    // The block that crosses the bound still belongs to the level.
    std::int64_t end = within >= 1 ? within + 1 : previous;
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

LevelEnds quota_level_ends(std::int64_t key_blocks, const PsaParams& params) {
  LevelEnds ends{};
  std::int64_t previous = std::min<std::int64_t>(1, key_blocks);  // the best block at level 1
  for (std::size_t i = 0; i < ends.size(); ++i) {
    const double share = params.level_bounds[i] * static_cast<double>(key_blocks);
    const std::int64_t end = static_cast<std::int64_t>(std::floor(share + kQuotaSlack));
    ends[i] = previous = std::clamp(end, previous, key_blocks);
  }
  return ends;
}

void allocate_levels(std::span<const float> importance, std::span<const std::uint8_t> caps,
                     const PsaParams& params, const LevelAllocationScratch& scratch,
                     std::span<std::uint8_t> levels, const OfficialRounding& rounding) {
  const std::size_t blocks = importance.size();
  PSAGEN_ASSERT(levels.size() == blocks && (caps.empty() || caps.size() == blocks));
  PSAGEN_ASSERT(scratch.order.size() == blocks && scratch.weight.size() == blocks &&
                scratch.cumulative.size() == blocks);
  std::iota(scratch.order.begin(), scratch.order.end(), 0);
  sanitize(importance, scratch.weight);
  const std::span<const double> weight = scratch.weight;
  std::sort(scratch.order.begin(), scratch.order.end(), [&](std::int32_t a, std::int32_t b) {
    const double left = weight[static_cast<std::size_t>(a)];
    const double right = weight[static_cast<std::size_t>(b)];
    return left != right ? left > right : a < b;
  });

  LevelEnds ends;
  if (params.selection == LevelSelection::kQuota) {
    ends = quota_level_ends(static_cast<std::int64_t>(blocks), params);
  } else {
    double sum = 0.0;
    for (std::size_t p = 0; p < blocks; ++p)
      scratch.cumulative[p] = sum += weight[static_cast<std::size_t>(scratch.order[p])];
    // A row without any weight says nothing: treat all blocks alike.
    for (std::size_t p = 0; p < blocks; ++p)
      scratch.cumulative[p] = sum > 0.0 ? scratch.cumulative[p] / sum
                                        : static_cast<double>(p + 1) / static_cast<double>(blocks);
    ends = threshold_level_ends(scratch.cumulative, params, rounding);
  }

  std::fill(levels.begin(), levels.end(), std::uint8_t{0});
  std::int64_t position = 0;
  for (std::size_t i = 0; i < ends.size(); ++i)
    for (; position < ends[i]; ++position) {
      const std::size_t j =
          static_cast<std::size_t>(scratch.order[static_cast<std::size_t>(position)]);
      const std::uint8_t level = static_cast<std::uint8_t>(kPsaLevels[i]);
      levels[j] = caps.empty() ? level : std::min(caps[j], level);
    }
}

}  // namespace psagen::kernels
