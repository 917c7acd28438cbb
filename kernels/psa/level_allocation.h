// From one row of block importance to a level per key block (arXiv 2512.04025 section 3.3; official
// code utils/transfer_attn_to_mask.py at commit be122cf). The host truth that every back end must
// match. Differences from the official code, on purpose: sums in double (its 16-bit sums stall),
// ties go to the lower index, the best block is always at full resolution, and counts are not
// rounded to what its kernel can merge into a tile.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/psa/allocation_rule.h"
#include "kernels/psa/psa_params.h"

namespace psagen::kernels {

// a_l = ceil(l / (key_block / tile)) for the official kernel's tile of 32 columns.
OfficialRounding official_rounding(int key_block);

// `cumulative` is the running sum of the descending importance divided by its last value.
LevelEnds threshold_level_ends(std::span<const double> cumulative, const PsaParams& params,
                               const OfficialRounding& rounding = {});

// The same for fixed shares of the number of blocks.
LevelEnds quota_level_ends(std::int64_t key_blocks, const PsaParams& params);

// Scratch of allocate_levels, as many values each as there are key blocks.
struct LevelAllocationScratch {
  std::span<std::int32_t> order;
  std::span<double> weight;
  std::span<double> cumulative;
};

// levels[j] in {0, 1, 2, 4, 8} for every key block. Importance is a weight >= 0: NaN and negative
// values count as 0, and infinite ones leave nothing to the finite ones. `caps` is empty or, for
// each key block, the coarsest level allowed (1, 2, 4 or 8); it never keeps a skipped block.
// params.head_bounds is not looked at: params_of_head resolves it.
void allocate_levels(std::span<const float> importance, std::span<const std::uint8_t> caps,
                     const PsaParams& params, const LevelAllocationScratch& scratch,
                     std::span<std::uint8_t> levels, const OfficialRounding& rounding = {});

// The levels of query block `query_block` once more, with what params.protected_tokens want.
void protect_tokens(const PsaParams& params, std::int64_t query_block,
                    std::span<std::uint8_t> levels);

}  // namespace psagen::kernels
