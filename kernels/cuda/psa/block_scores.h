// Scores of query blocks against key blocks, in powers of two. exp2 of a row of scores, divided by
// their sum, is the share of each key block; the importance is the largest share that any row of
// the query block gives, again divided by the sum. Internal to kernels/cuda/psa.
#pragma once

#include <cstdint>

#include "kernels/cuda/psa/head_rows.h"
#include "kernels/cuda/runtime.h"
#include "kernels/psa/psa_args.h"

namespace psagen::kernels::cuda {

// What stands for the queries of a query block, means of 32 or every eighth one: rows times
// scale / ln 2, in `slots` of which the first are there. A power of two, so that the rows of a
// block are neighbours within a warp's eight.
struct PooledQueries {
  const void* means = nullptr;  // [B N, query blocks, slots, depth], absent ones zeros
  DType dtype = DType::kF32;
  int slots = 1;
};

// What selection works on: sizes in the names of kernels/psa/psa_args.h.
struct SelectionShape {
  std::int64_t tokens = 0;
  int heads = 0;      // of one batch
  int all_heads = 0;  // of all batches
  int depth = 0;
  int query_block = 0, query_blocks = 0;
  int key_block = 0, key_blocks = 0;
  int queries_of_row = kPooledQueries;  // that a pooled query stands for

  // A power of two that holds the pooled queries of a block.
  constexpr int slots() const {
    int slots = 1;
    while (slots * queries_of_row < query_block) slots *= 2;
    return slots;
  }
  // Pooled queries of a query block, fewer in the last one.
  constexpr int means_of(int block) const {
    const std::int64_t left = tokens - static_cast<std::int64_t>(block) * query_block;
    const std::int64_t count = left < query_block ? left : query_block;
    return static_cast<int>((count + queries_of_row - 1) / queries_of_row);
  }
};

// `means` is memory for out.means.
void pool_queries(CudaRuntime& runtime, const SelectionShape& shape, const ConstTensorView& q,
                  double scale, const PooledQueries& out, void* means);

// What queries are held against, a row for every eight keys: the level-8 rows of the pyramid or,
// staggered, of each four level-2 rows one (psa_params.h, staggered_pair()).
struct ScoredKeys {
  const void* keys = nullptr;  // rows of the pyramid, the first of head 0
  DType dtype = DType::kF32;
  std::int64_t head_stride = 0;        // in elements
  const float* log2_weight = nullptr;  // of level 8
  bool staggered = false;
  int turn = 0;      // staggered: of head 0
  int last_row = 0;  // of level 2 that has a token

  // Of the pyramid, for row `row` of head `head` of all.
  constexpr int pyramid_row(int row, int head) const {
    if (!staggered) return row;
    const int own = 4 * row + staggered_query(turn + head % 16 + row) / 2;
    return own < last_row ? own : last_row;
  }
};

// Rows of scores of heads [first_head, first_head + heads): [heads, query blocks, slots, key
// blocks], a row for each pooled query. Those of absent ones (SelectionShape::means_of) are not
// written.
struct ScoreRows {
  float* scores = nullptr;
  int first_head = 0, heads = 0;
  int slots = 1;
};

// Of each pooled query and key block: the log-sum-exp of (q . k) scale + ln g over the block's
// rows. On the matrix units, which take rows of 64 or 128 elements of a 16-bit type.
bool pooled_scores_by_matrix(const SelectionShape& shape, DType dtype);
void pooled_scores(CudaRuntime& runtime, const SelectionShape& shape, const PooledQueries& queries,
                   const ScoredKeys& keys, const ScoreRows& out);

// The same for anything else, queries in float32.
void plain_pooled_scores(CudaRuntime& runtime, const SelectionShape& shape,
                         const PooledQueries& queries, const ScoredKeys& keys,
                         const ScoreRows& out);

// The official estimator (kernels/psa/sampling.h): the best score of each sampled query in a key
// block less its best anywhere, the maximum over the queries.
void sampled_scores(CudaRuntime& runtime, const SelectionShape& shape, const ConstTensorView& q,
                    const ConstTensorView& k, std::uint64_t seed, double scale,
                    const ScoreRows& out);

// kernels/psa/uniform_score.h.
void uniform_scores(CudaRuntime& runtime, const SelectionShape& shape, const ScoreRows& out);

}  // namespace psagen::kernels::cuda
