// Scores of query rows against blocks of key rows, reduced to one number per (query, key block).
#pragma once

#include <cstdint>

namespace psagen::kernels::cpu {

inline constexpr std::int64_t kMaxScoredQueries = 64;       // at a time
inline constexpr std::int64_t kMaxScoredKeysPerBlock = 32;  // sampled from a block of 128

// What queries are judged against: `keys_per_block` rows for each key block.
struct ScoredKeys {
  const float* keys = nullptr;         // packed groups of 8, or of 4 for pooled blocks of 4 rows
  const float* log2_weight = nullptr;  // one per row, or null for zeros
  const float* mean = nullptr;         // [depth], subtracted from every key, or null
  std::int64_t keys_per_block = 0;
  std::int64_t num_blocks = 0;
  std::int64_t depth = 0;
};

enum class BlockReduction { kLogSumExp, kMax };

// block_scores[block][query], in units of ln 2, for `count` rows of queries; rows of
// kMaxScoredQueries. `panels` is scratch of kMaxScoredQueries * depth floats, aligned to 64 bytes.
void score_key_blocks(const ScoredKeys& keys, const float* queries, std::int64_t count,
                      double scale, BlockReduction reduction, float* panels, float* block_scores);

}  // namespace psagen::kernels::cpu
