#include "kernels/cuda/psa/sparse_attention/sparse_attention.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "kernels/cuda/dense_attention/fused_attention.h"
#include "kernels/cuda/psa/psa_kernels.h"
#include "kernels/cuda/psa/sparse_attention/sparse_ways.h"

namespace psagen::kernels::cuda {
namespace {

// What the kernels of dense attention take, with query blocks of their size. Weights of columns are
// divided by the scale, so that may not be too small.
bool tiled_kernels_take(const SparseAttentionArgs& args) {
  constexpr double kSmallestScale = 1e-30;
  constexpr std::int64_t kLargestRow = std::numeric_limits<int>::max() / 2;  // elements
  return args.query_block == kFusedQueries && args.scale > kSmallestScale &&
         fused_attention_takes(without_levels(args)) && args.k.stride(1) <= kLargestRow &&
         args.v.stride(1) <= kLargestRow;
}

// Caps come with the keys that are scored.
Pyramid without_caps(Pyramid pyramid) {
  pyramid.level_caps = {};
  return pyramid;
}

}  // namespace

AttentionArgs without_levels(const SparseAttentionArgs& args) {
  return {
      .q = args.q, .k = args.k, .v = args.v, .scale = args.scale, .out = args.out, .lse = args.lse};
}

BlockLevels block_levels(const SparseAttentionArgs& args) {
  const PyramidShape& shape = args.pyramid.shape;
  const std::int64_t key_blocks = shape.key_blocks();
  const std::int64_t rows = std::max(shape.total_rows(), key_blocks * shape.key_block);
  PSAGEN_CHECK(rows < std::numeric_limits<int>::max() / 2, ErrorCode::kUnsupported,
               "sparse_attention: ", shape.num_tokens, " tokens are too many for this device");
  BlockLevels blocks;
  blocks.levels = args.levels.data<std::uint8_t>();
  blocks.order = args.order ? args.order.data<std::int32_t>() : nullptr;
  blocks.key_blocks = static_cast<int>(key_blocks);
  blocks.log2_key_block = std::countr_zero(static_cast<unsigned>(shape.key_block));
  blocks.tail_tokens = static_cast<int>(shape.block_tokens(key_blocks - 1));
  for (int i = 1; i < kLevels; ++i) blocks.row_begin[i] = static_cast<int>(shape.row_begin(i, 0));
  blocks.absent_row = static_cast<int>(rows);
  return blocks;
}

void sparse_attention(CudaRuntime& runtime, Workspace& workspace, const SparseAttentionArgs& args) {
  if (args.out.num_elements() == 0) return;
  const bool is_tiled = tiled_kernels_take(args);
  const bool for_hopper = is_tiled && runtime.use_hopper_kernels();
  if (workspace.counts_only() && !for_hopper) return;  // the others take none
  if (args.pending != PyramidPart::kNone && !for_hopper)
    pool_pyramid(runtime, {.k = args.k,
                           .v = args.v,
                           .similarity_thresholds = {},
                           .part = args.pending,
                           .pyramid = without_caps(args.pyramid)});
  int tile_columns = kNoTiles;
  if (!is_tiled) {
    row_sparse_attention(runtime, args);
  } else if (for_hopper) {
    hopper_sparse_attention(runtime, workspace, args);
    tile_columns = kHopperTileColumns;
  } else {
    portable_sparse_attention(runtime, args);
    tile_columns = kPortableTileColumns;
  }
  if (args.executed_density && !workspace.counts_only())
    executed_density(runtime, args, tile_columns);
}

}  // namespace psagen::kernels::cuda
