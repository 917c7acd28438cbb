#include "kernels/psa/level_allocation.h"

#include <algorithm>
#include <numeric>

#include "kernels/core/error.h"

namespace psagen::kernels {
OfficialRounding official_rounding(int key_block) {
  constexpr int kTile = 32;
  OfficialRounding rounding;
  for (std::size_t i = 0; i < kPsaLevels.size(); ++i)
    rounding.merged_blocks[i] = (kPsaLevels[i] * kTile + key_block - 1) / key_block;
  return rounding;
}

LevelEnds threshold_level_ends(std::span<const double> cumulative, const PsaParams& params,
                               const OfficialRounding& rounding) {
  std::array<std::int64_t, 4> within{};
  for (std::size_t i = 0; i < within.size(); ++i)
    within[i] = std::upper_bound(cumulative.begin(), cumulative.end(),
                                 allocation::threshold_bound(params, i)) -
                cumulative.begin();
  return allocation::threshold_ends(within, static_cast<std::int64_t>(cumulative.size()), params,
                                    rounding);
}

LevelEnds quota_level_ends(std::int64_t key_blocks, const PsaParams& params) {
  return allocation::quota_ends(key_blocks, params);
}

void allocate_levels(std::span<const float> importance, std::span<const std::uint8_t> caps,
                     const PsaParams& params, const LevelAllocationScratch& scratch,
                     std::span<std::uint8_t> levels, const OfficialRounding& rounding) {
  const std::size_t blocks = importance.size();
  PSAGEN_ASSERT(levels.size() == blocks && (caps.empty() || caps.size() == blocks));
  PSAGEN_ASSERT(scratch.order.size() == blocks && scratch.weight.size() == blocks &&
                scratch.cumulative.size() == blocks);
  std::iota(scratch.order.begin(), scratch.order.end(), 0);
  const bool any_infinite =
      std::any_of(importance.begin(), importance.end(), allocation::is_infinite);
  for (std::size_t j = 0; j < blocks; ++j)
    scratch.weight[j] = allocation::weight_of(importance[j], any_infinite);
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
    for (std::size_t p = 0; p < blocks; ++p)
      scratch.cumulative[p] =
          allocation::cumulative_share(scratch.cumulative[p], sum, static_cast<std::int64_t>(p),
                                       static_cast<std::int64_t>(blocks));
    ends = threshold_level_ends(scratch.cumulative, params, rounding);
  }

  for (std::size_t p = 0; p < blocks; ++p) {
    const std::size_t j = static_cast<std::size_t>(scratch.order[p]);
    levels[j] =
        allocation::level_at(static_cast<std::int64_t>(p), ends, caps.empty() ? 8 : caps[j]);
  }
}

void protect_tokens(const PsaParams& params, std::int64_t query_block,
                    std::span<std::uint8_t> levels) {
  if (!has_protected(params)) return;
  const bool is_whole = is_protected(params, query_block * params.query_block, params.query_block);
  for (std::size_t j = 0; j < levels.size(); ++j)
    if (is_whole ||
        is_protected(params, static_cast<std::int64_t>(j) * params.key_block, params.key_block))
      levels[j] = 1;
}

}  // namespace psagen::kernels
