// Arguments of the three ops of pyramid sparse attention (kernels/ops.h), in the order they run.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "kernels/core/tensor.h"
#include "kernels/psa/psa_params.h"

namespace psagen::kernels {

// How a back end keeps a pyramid (Ops::pyramid_format). One that reads level 1 where the keys and
// values already lie stores the coarser levels only.
struct PyramidFormat {
  int finest_level = 1;  // 1 or 2
  DType dtype = DType::kF32;
};

// Rows of the pyramid of one head: level after level, key block after key block; a block of n
// tokens has n / l rows at level l, row u the mean of its tokens [u l, u l + l). In the last block,
// which may be part-filled, a row averages the tokens there are, and rows without any are absent.
struct PyramidShape {
  std::int64_t num_tokens = 0;
  int key_block = 128;
  int finest_level = 1;  // levels below it are not stored

  std::int64_t key_blocks() const { return (num_tokens + key_block - 1) / key_block; }
  std::int64_t block_tokens(std::int64_t block) const {
    return std::min<std::int64_t>(key_block, num_tokens - block * key_block);
  }
  std::int64_t block_rows(std::int64_t block, int level) const {
    return (block_tokens(block) + level - 1) / level;
  }
  // The first row of a block at level kPsaLevels[level_index], which must be stored.
  std::int64_t row_begin(int level_index, std::int64_t block) const {
    std::int64_t begin = 0;
    for (int i = 0; i < level_index; ++i)
      if (const int level = kPsaLevels[static_cast<std::size_t>(i)]; level >= finest_level)
        begin += key_blocks() * (key_block / level);
    return begin + block * (key_block / kPsaLevels[static_cast<std::size_t>(level_index)]);
  }
  std::int64_t total_rows() const { return row_begin(3, key_blocks()); }
};

// Means over the g tokens of each row, summed in float32 and rounded once. The rows of a block are
// one piece of memory; the order of the numbers inside it is what the back end likes best: packed
// for the vector unit on the CPU (kernels/cpu/psa/pyramid_layout.h), plain rows on a GPU. Absent
// rows are zeros.
struct Pyramid {
  PyramidShape shape;
  TensorView keys;         // [B, N, R, D] of the format's dtype, R = shape.total_rows()
  TensorView values;       // [B, N, R, D]
  TensorView log2_weight;  // [R] float32: log2 g; -inf where the row is absent
  // The coarsest level (1, 2, 4, 8) at which the keys of each block still agree, optional:
  // similarity 2, 4, 8 = mean cosine of the first and last key of each group of 2, 4, 8.
  TensorView level_caps;  // [B, N, key blocks] U8
};

// Rows of a pyramid that are made together. With any of the keys go the weights of all rows, and
// the caps.
enum class PyramidPart { kNone, kCoarsestKeys, kKeys, kValues, kAll };

// What has to be there when blocks are chosen. Estimators that read no row of it still have the
// weights and caps made so.
constexpr PyramidPart scored_part(ImportanceEstimator estimator) {
  return estimator == ImportanceEstimator::kStaggered ? PyramidPart::kKeys
                                                      : PyramidPart::kCoarsestKeys;
}

struct BuildPyramidArgs {
  ConstTensorView k;                                 // [B, L, N, D], last dimension unit-stride
  ConstTensorView v;                                 // [B, L, N, D]
  std::array<double, 3> similarity_thresholds = {};  // of levels 2, 4, 8; with level_caps only
  // Less than all only where Ops::pools_in_attention(): rows of other parts stay as they are.
  PyramidPart part = PyramidPart::kAll;
  Pyramid pyramid;  // out
};

// What the norm of queries and keys makes of its rows besides, while it has them in registers
// (RmsNormRopeArgs::pool; only where Ops::pools_in_norm()). Means are of the rounded rows.
struct NormPool {
  // The rows of y are tokens [first_token, first_token + L) of num_tokens, first_token a multiple
  // of kPooledQueries. The call with the last token writes absent rows, too.
  std::int64_t first_token = 0;
  std::int64_t num_tokens = 0;
  // Of keys: the pyramid's keys and the weights of its rows, as build_pyramid makes them. Caps are
  // not.
  PyramidShape shape;
  TensorView keys;
  bool coarsest_only = false;  // of the keys only level 8, as PyramidPart::kCoarsestKeys
  TensorView log2_weight;
  // Of queries: SelectBlocksArgs::pooled_queries, of one of the estimators that have query rows.
  TensorView queries;
  ImportanceEstimator estimator = ImportanceEstimator::kPooledLogSumExp;
  double scale = 1.0;
};

struct SelectBlocksArgs {
  ConstTensorView q;  // [B, L, N, D]
  ConstTensorView k;  // [B, L, N, D]; what the sampled estimator looks at
  Pyramid pyramid;    // of k
  double scale = 1.0;
  PsaParams params;
  // What stands for queries_of_row() queries, their mean or one of them, times scale / ln 2, in the
  // type of q: [B, N, query blocks, query_block / queries_of_row(), D]. Optional: made here of q
  // where not given.
  ConstTensorView pooled_queries = {};
  TensorView importance;  // [B, N, query blocks, key blocks] float32, optional: rows sum to 1
  TensorView levels;      // out: [B, N, query blocks, key blocks] U8 in {0, 1, 2, 4, 8}
  TensorView order;       // out: [B * N * query blocks] I32, optional: the rows of `levels`, head
                          // after head, inside a head the longest first (block_levels.h)
  TensorView nominal_density;  // out: [B, N] float32, optional: share of dense work,
                               // (n1 + n2/2 + n4/4 + n8/8) / key blocks, mean over the rows
};

struct SparseAttentionArgs {
  ConstTensorView q;  // [B, L, N, D]
  ConstTensorView k;  // [B, L, N, D]; level 1, where the pyramid does not store it
  ConstTensorView v;  // [B, L, N, D]
  Pyramid pyramid;    // of k and v
  // kValues or kAll, only where Ops::pools_in_attention(): rows of the pyramid that are still to be
  // made. They are here, as build_pyramid makes them, without weights and caps.
  PyramidPart pending = PyramidPart::kNone;
  ConstTensorView levels;  // [B, N, query blocks, key blocks] U8
  ConstTensorView order;   // [B * N * query blocks] I32, optional: in which order to work; head
                           // after head where rows are pending (select_blocks makes it so). A GPU
                           // may sum the last rows of a long sequence in parts: another rounding
  double scale = 1.0;
  int query_block = 128;
  TensorView out;  // [B, L, N, D]; zeros for a query block without key blocks
  TensorView lse;  // [B, N, L] float32, optional; -inf for a query block without key blocks
  // out: [B, N] float32, optional: score columns computed, padding included, over those dense
  // attention computes.
  TensorView executed_density;
};

}  // namespace psagen::kernels
