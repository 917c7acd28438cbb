// What pyramid sparse attention should give, in plain loops and double precision, straight from the
// formulas (spec psa.md 1.2, 2.2, 2.4, 3.5 and the end of section 11). For tests only.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace psagen::kernels::reference {

// One head. q, k, v: [tokens][depth].
struct PsaProblem {
  std::int64_t tokens = 0;
  std::int64_t depth = 0;
  double scale = 1.0;
  int query_block = 128;
  int key_block = 128;
  std::vector<double> q, k, v;

  std::int64_t query_blocks() const { return (tokens + query_block - 1) / query_block; }
  std::int64_t key_blocks() const { return (tokens + key_block - 1) / key_block; }
};

struct PsaResult {
  std::vector<double> out;  // [tokens][depth]; zeros where no block is kept
  std::vector<double> lse;  // [tokens]; -inf where no block is kept
};

// levels: [query blocks][key blocks], each 0, 1, 2, 4 or 8.
PsaResult sparse_attention(const PsaProblem& problem, std::span<const std::uint8_t> levels);

// The maximum over groups of 32 queries of the softmax over the key blocks of
// ln sum over groups of 8 keys of g e^(scale qbar . kbar), divided by the sum of its row:
// [query blocks][key blocks].
std::vector<double> pooled_importance(const PsaProblem& problem);

// The same with one query itself of each group of 8, and the mean of one pair of keys of each group
// of 8, which counts for all of them. `turn`: how many groups the pairs are ahead of the queries.
std::vector<double> staggered_importance(const PsaProblem& problem, std::int64_t turn);

// The official estimator for given positions inside a block; those past the end of the sequence
// stand for its last token: [query blocks][key blocks].
std::vector<double> sampled_importance(const PsaProblem& problem,
                                       std::span<const std::int32_t> query_positions,
                                       std::span<const std::int32_t> key_positions);

// Mean cosine of first and last key over the groups of `level` tokens of a key block.
double group_similarity(const PsaProblem& problem, std::int64_t key_block, int level);

}  // namespace psagen::kernels::reference
