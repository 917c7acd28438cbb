// The numbers of Pyramid Sparse Attention (arXiv 2512.04025, section 3; official code's
// attention_config.yaml), as plain values.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace psagen::kernels {

// Level values are tokens per pooled row: 1 full resolution, 2, 4, 8 mean-pooled; 0 skips.
inline constexpr std::array<int, 4> kPsaLevels = {1, 2, 4, 8};

enum class LevelSelection {
  kThreshold,  // cumulative importance up to a bound (paper, section 3.3)
  kQuota,      // a fixed share of the key blocks (official code: "topk")
};

enum class ImportanceEstimator {
  kPooledLogSumExp,  // the largest share that a mean of 32 queries gives, by log-sum-exp over
                     // level-8 keys
  kStaggered,        // the same by every eighth query itself and means of two keys of eight: four
                     // times the work, more exact
  kSampled,          // the official code's random sampling of a quarter of the tokens, seeded here
  kUniform,          // none: blocks at random (uniform_score.h), for comparison; with kQuota only
};

// Queries averaged into one for kPooledLogSumExp.
inline constexpr int kPooledQueries = 32;
// Queries of which one is looked at for kStaggered.
inline constexpr int kStaggeredQueries = 8;

constexpr bool has_query_rows(ImportanceEstimator estimator) {
  return estimator == ImportanceEstimator::kPooledLogSumExp ||
         estimator == ImportanceEstimator::kStaggered;
}
// Queries that a row stands for which looks at the keys.
constexpr int queries_of_row(ImportanceEstimator estimator) {
  return estimator == ImportanceEstimator::kStaggered ? kStaggeredQueries : kPooledQueries;
}

// Which of its eight queries stands for group `group` of the sequence. Eight are about a cube of
// 2 x 2 x 2 tokens: neighbouring groups take opposite corners, and all corners come up. (One corner
// for all groups, or a random one, misses much more of what attention looks at.)
constexpr int staggered_query(int group) {
  const int corner = 0x16254370 >> 4 * (group % 8) & 7;
  return group % 16 < 8 ? corner : 7 - corner;
}

// Which of its four pairs of keys stands for group `group` of the sequence, in head `head` of all.
// With each seed, which callers give to each step and layer, another one does: what a single key
// holds is then missed now and then, but never always.
constexpr int staggered_pair(std::uint64_t seed, int head, int group) {
  return staggered_query(static_cast<int>(seed % 16) + head % 16 + group) / 2;
}

// Cumulative upper bound of each level of kPsaLevels, non-decreasing, in [0, 1]: of the importance
// (threshold) or of the number of key blocks (quota). What is left is skipped.
using LevelBounds = std::array<double, 4>;

// Tokens [begin, end) of a sequence.
struct TokenSpan {
  std::int64_t begin = 0, end = 0;

  // Whether one of tokens [first, first + count) is among them.
  constexpr bool meets(std::int64_t first, std::int64_t count) const {
    return begin < end && first < end && begin < first + count;
  }
};

struct PsaParams {
  int query_block = 128;
  int key_block = 128;  // 128, 64 or 32
  LevelSelection selection = LevelSelection::kQuota;
  LevelBounds level_bounds = {0.10, 0.15, 0.15, 0.35};
  // Instead of level_bounds where it is given: of each of the N heads. The caller keeps it for the
  // time of a call.
  std::span<const LevelBounds> head_bounds = {};
  // Text beside the video, or a sink: every query attends to these tokens at full resolution, and
  // their queries attend to all tokens so, whatever the bounds say. Blocks that hold one of them
  // are taken whole. In the order of q and k; empty spans protect nothing.
  std::array<TokenSpan, 2> protected_tokens = {};
  // Threshold only: at least floor(this * key blocks) + 1 blocks at full resolution.
  double min_full_ratio = 0.06;
  ImportanceEstimator estimator = ImportanceEstimator::kPooledLogSumExp;
  std::uint64_t seed = 0;  // kSampled, kStaggered; mixed with step and layer by the caller
  // Similarity cap (official code's calc_ksim): a key block is pooled no coarser than the level up
  // to which the keys of a group point the same way. Cosine thresholds of levels 2, 4, 8.
  bool similarity_cap = false;
  std::array<double, 3> similarity_thresholds = {0.70, 0.65, 0.60};
};

constexpr bool is_protected(const PsaParams& params, std::int64_t first, std::int64_t count) {
  for (const TokenSpan& span : params.protected_tokens)
    if (span.meets(first, count)) return true;
  return false;
}
constexpr bool has_protected(const PsaParams& params) {
  for (const TokenSpan& span : params.protected_tokens)
    if (span.begin < span.end) return true;
  return false;
}

inline const LevelBounds& bounds_of_head(const PsaParams& params, std::int64_t head) {
  return params.head_bounds.empty() ? params.level_bounds
                                    : params.head_bounds[static_cast<std::size_t>(head)];
}

// The same without head_bounds.
inline PsaParams params_of_head(const PsaParams& params, std::int64_t head) {
  PsaParams own = params;
  own.level_bounds = bounds_of_head(params, head);
  own.head_bounds = {};
  return own;
}

}  // namespace psagen::kernels
