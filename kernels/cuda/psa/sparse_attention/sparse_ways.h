// The three ways to compute sparse attention, and what they have in common.
#pragma once

#include "kernels/core/allocator.h"
#include "kernels/cuda/psa/sparse_attention/packed_row.h"
#include "kernels/cuda/runtime.h"
#include "kernels/ops.h"
#include "kernels/psa/psa_args.h"

namespace psagen::kernels::cuda {

void hopper_sparse_attention(CudaRuntime& runtime, Workspace& workspace,
                             const SparseAttentionArgs& args);
void portable_sparse_attention(CudaRuntime& runtime, const SparseAttentionArgs& args);
// Any type, head dimension up to 256, query block, strides and scale.
void row_sparse_attention(CudaRuntime& runtime, const SparseAttentionArgs& args);

// Columns that a tile of the kernels has: a row's are rounded up to whole tiles. One column: no
// tiles, and rows of the last block that are absent are not computed.
inline constexpr int kHopperTileColumns = 128;
inline constexpr int kPortableTileColumns = 64;
inline constexpr int kNoTiles = 1;

// density [B, N] = columns computed over those of dense attention.
void executed_density(CudaRuntime& runtime, const SparseAttentionArgs& args, int tile_columns);

BlockLevels block_levels(const SparseAttentionArgs& args);

// The call as dense attention would have it: the queries, level 1 of the keys and values, the
// result.
AttentionArgs without_levels(const SparseAttentionArgs& args);

}  // namespace psagen::kernels::cuda
