// From rows of scores to rows of levels, and the order in which to work on them. Internal to
// kernels/cuda/psa.
#pragma once

#include <cstdint>

#include "kernels/cuda/psa/block_scores.h"
#include "kernels/cuda/runtime.h"
#include "kernels/psa/psa_params.h"

namespace psagen::kernels::cuda {

inline constexpr int kMostSortedBlocks = 8192;  // key blocks of a row

// What a row of levels amounts to.
struct RowWork {
  std::int32_t columns;  // score columns
  std::int32_t eighths;  // of dense work: a block at level l has 8 / l
};

// All rows of a selection, [B N, query blocks] and [.., key blocks].
struct LevelRows {
  const std::uint8_t* level_caps = nullptr;  // [B N, key blocks]; null: no similarity cap
  std::uint8_t* levels = nullptr;
  RowWork* work = nullptr;
  float* importance = nullptr;  // null: not wanted
};

// Of the heads in `rows`.
void allocate_levels(CudaRuntime& runtime, const SelectionShape& shape, const PsaParams& params,
                     const ScoreRows& rows, const LevelRows& out);

// order: head after head, in each head the rows with the most score columns first, equal ones by
// index (kernels/psa/block_levels.h); density: of each head. Either may be null.
void order_rows(CudaRuntime& runtime, const SelectionShape& shape, const RowWork* work,
                std::int32_t* order, float* nominal_density);

}  // namespace psagen::kernels::cuda
