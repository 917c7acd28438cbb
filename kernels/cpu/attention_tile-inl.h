// The inner loops of attention: one panel of queries against one tile of packed keys and values,
// with the online softmax (Milakov and Gimelshein, arXiv 1805.02867; Dao et al., arXiv 2205.14135).
// Layouts: kernels/cpu/attention_layout.h. Compiled once per Highway target; include it after
// hwy/highway.h inside a file that goes through foreach_target.h.
//
//   pack_query_panel, reset_panel; attend_tile for every tile; finish_panel.
//
// Register blocking: eight keys (or value columns) by two vectors of queries are 16 accumulators
// for AVX-512; with the 16 registers of AVX2, four by two.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/cpu/attention_layout.h"

#if defined(PSAGEN_KERNELS_CPU_ATTENTION_TILE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef PSAGEN_KERNELS_CPU_ATTENTION_TILE_INL_H
#undef PSAGEN_KERNELS_CPU_ATTENTION_TILE_INL_H
#else
#define PSAGEN_KERNELS_CPU_ATTENTION_TILE_INL_H
#endif

#include "hwy/highway.h"
#include "kernels/cpu/exp-inl.h"

HWY_BEFORE_NAMESPACE();
namespace psagen::kernels::cpu::HWY_NAMESPACE {

inline constexpr int kBlockRows = HWY_TARGET == HWY_AVX3 ? 8 : 4;

// Queries in a panel on this target.
HWY_INLINE std::int64_t panel_queries() {
  return 2 * static_cast<std::int64_t>(hn::Lanes(FloatTag()));
}

// queries[k][lane] = rows[lane][k] * factor; lanes past `count` are zeros. Goes by cache lines of
// the rows, so that each is read once from memory and its panel rows are written in full.
HWY_INLINE void pack_query_panel(const float* HWY_RESTRICT rows, std::int64_t stride,
                                 std::int64_t count, std::int64_t depth, float factor,
                                 float* HWY_RESTRICT queries) {
  constexpr std::int64_t kLine = 16;
  const std::int64_t lanes = panel_queries();
  for (std::int64_t first = 0; first < depth; first += kLine) {
    for (std::int64_t k = first; k < std::min(first + kLine, depth); ++k) {
      float* out = queries + k * lanes;
      for (std::int64_t lane = 0; lane < count; ++lane)
        out[lane] = rows[lane * stride + k] * factor;
      std::fill(out + count, out + lanes, 0.0f);
    }
  }
}

HWY_INLINE void reset_panel(std::int64_t depth, const AttentionPanel& panel) {
  const FloatTag d;
  const std::int64_t lanes = panel_queries();
  const std::int64_t step = lanes / 2;
  for (std::int64_t i = 0; i < lanes; i += step) {
    hn::Store(hn::Set(d, -std::numeric_limits<float>::infinity()), d, panel.max + i);
    hn::Store(hn::Zero(d), d, panel.sum + i);
  }
  for (std::int64_t i = 0; i < round_up_to_group(depth) * lanes; i += step)
    hn::Store(hn::Zero(d), d, panel.out + i);
}

// kBlockRows rows of out[row][lane] += sum over k of scalars[8 k + row] * vectors[k][lane]: scores
// from keys and queries, or output from values and weights.
HWY_INLINE void multiply_block(FloatTag d, const float* HWY_RESTRICT scalars,
                               const float* HWY_RESTRICT vectors, std::int64_t count,
                               FloatVec (&acc)[kBlockRows][2]) {
  const std::int64_t step = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t k = 0; k < count; ++k) {
    const FloatVec v0 = hn::Load(d, vectors);
    const FloatVec v1 = hn::Load(d, vectors + step);
#pragma GCC unroll 8
    for (int row = 0; row < kBlockRows; ++row) {
      const FloatVec scalar = hn::Set(d, scalars[row]);
      acc[row][0] = hn::MulAdd(scalar, v0, acc[row][0]);
      acc[row][1] = hn::MulAdd(scalar, v1, acc[row][1]);
    }
    vectors += 2 * step;
    scalars += kTileGroup;
  }
}

// scores[key][lane] = q . k + weight for kBlockRows keys; max0 and max1 take in what was found. The
// weight comes last: sums that start with it would be rounded to its size at every step.
HWY_INLINE void score_block(FloatTag d, const AttentionTile& tile, std::int64_t first_key,
                            const float* HWY_RESTRICT queries, std::int64_t depth,
                            float* HWY_RESTRICT scores, FloatVec& max0, FloatVec& max1) {
  const std::int64_t step = static_cast<std::int64_t>(hn::Lanes(d));
  FloatVec acc[kBlockRows][2];
#pragma GCC unroll 8
  for (int row = 0; row < kBlockRows; ++row) acc[row][0] = acc[row][1] = hn::Zero(d);
  const float* keys = tile.keys + first_key / kTileGroup * kTileGroup * depth;
  multiply_block(d, keys + first_key % kTileGroup, queries, depth, acc);
#pragma GCC unroll 8
  for (int row = 0; row < kBlockRows; ++row) {
    const std::int64_t key = first_key + row;
    FloatVec weight0, weight1;
    if (tile.log2_bias != nullptr) {
      weight0 = hn::Load(d, tile.log2_bias + key * 2 * step);
      weight1 = hn::Load(d, tile.log2_bias + key * 2 * step + step);
    } else {
      weight0 = weight1 = hn::Set(d, tile.log2_weight[key]);
    }
    const FloatVec score0 = hn::Add(acc[row][0], weight0);
    const FloatVec score1 = hn::Add(acc[row][1], weight1);
    max0 = hn::Max(max0, score0);
    max1 = hn::Max(max1, score1);
    hn::Store(score0, d, scores + key * 2 * step);
    hn::Store(score1, d, scores + key * 2 * step + step);
  }
}

// The three passes of attend_tiles are functions of their own, so that the exponential's constants
// cannot take registers from the products (in one function they once did, and cost 30 %).

// All scores of the tiles, one tile after the other; panel.max takes in what was found. Returns the
// number of keys.
HWY_NOINLINE inline std::int64_t score_tiles(const AttentionTile* HWY_RESTRICT tiles,
                                             std::int64_t num_tiles, std::int64_t depth,
                                             const AttentionPanel& panel,
                                             float* HWY_RESTRICT scores) {
  const FloatTag d;
  const std::int64_t step = static_cast<std::int64_t>(hn::Lanes(d));
  FloatVec max0 = hn::Load(d, panel.max);
  FloatVec max1 = hn::Load(d, panel.max + step);
  std::int64_t num_keys = 0;
  for (std::int64_t i = 0; i < num_tiles; ++i) {
    float* tile_scores = scores + num_keys * 2 * step;
    for (std::int64_t key = 0; key < tiles[i].num_keys; key += kBlockRows)
      score_block(d, tiles[i], key, panel.queries, depth, tile_scores, max0, max1);
    num_keys += tiles[i].num_keys;
  }
  hn::Store(max0, d, panel.max);
  hn::Store(max1, d, panel.max + step);
  return num_keys;
}

// scores = 2^(scores - panel.max), added up in panel.sum. `correction` [lanes] comes with the
// maximum before these tiles and leaves with the factor for everything summed up so far.
HWY_NOINLINE inline void weigh_scores(std::int64_t num_keys, const AttentionPanel& panel,
                                      float* HWY_RESTRICT scores, float* HWY_RESTRICT correction) {
  const FloatTag d;
  const std::int64_t step = static_cast<std::int64_t>(hn::Lanes(d));
  // A finite stand-in keeps -inf - (-inf) out of the exponentials.
  const FloatVec lowest = hn::Set(d, std::numeric_limits<float>::lowest());
  const FloatVec shift0 = hn::Max(hn::Load(d, panel.max), lowest);
  const FloatVec shift1 = hn::Max(hn::Load(d, panel.max + step), lowest);
  const FloatVec factor0 = exp2_nonpositive(d, hn::Sub(hn::Load(d, correction), shift0));
  const FloatVec factor1 = exp2_nonpositive(d, hn::Sub(hn::Load(d, correction + step), shift1));
  FloatVec sum0 = hn::Mul(hn::Load(d, panel.sum), factor0);
  FloatVec sum1 = hn::Mul(hn::Load(d, panel.sum + step), factor1);
  for (std::int64_t key = 0; key < num_keys; ++key) {
    float* row = scores + key * 2 * step;
    const FloatVec weight0 = exp2_nonpositive(d, hn::Sub(hn::Load(d, row), shift0));
    const FloatVec weight1 = exp2_nonpositive(d, hn::Sub(hn::Load(d, row + step), shift1));
    sum0 = hn::Add(sum0, weight0);
    sum1 = hn::Add(sum1, weight1);
    hn::Store(weight0, d, row);
    hn::Store(weight1, d, row + step);
  }
  hn::Store(sum0, d, panel.sum);
  hn::Store(sum1, d, panel.sum + step);
  hn::Store(factor0, d, correction);
  hn::Store(factor1, d, correction + step);
}

// panel.out = panel.out * correction + the tiles' values times weights, kBlockRows value columns at
// a time.
HWY_NOINLINE inline void accumulate_values(const AttentionTile* HWY_RESTRICT tiles,
                                           std::int64_t num_tiles, std::int64_t depth,
                                           const float* HWY_RESTRICT weights,
                                           const float* HWY_RESTRICT correction,
                                           const AttentionPanel& panel) {
  const FloatTag d;
  const std::int64_t step = static_cast<std::int64_t>(hn::Lanes(d));
  const FloatVec correction0 = hn::Load(d, correction);
  const FloatVec correction1 = hn::Load(d, correction + step);
  for (std::int64_t column = 0; column < depth; column += kBlockRows) {
    float* rows = panel.out + column * 2 * step;
    FloatVec acc[kBlockRows][2];
#pragma GCC unroll 8
    for (int row = 0; row < kBlockRows; ++row) {
      acc[row][0] = hn::Mul(hn::Load(d, rows + row * 2 * step), correction0);
      acc[row][1] = hn::Mul(hn::Load(d, rows + row * 2 * step + step), correction1);
    }
    const float* tile_weights = weights;
    for (std::int64_t i = 0; i < num_tiles; ++i) {
      const float* values = tiles[i].values + column / kTileGroup * tiles[i].value_group_stride;
      multiply_block(d, values + column % kTileGroup, tile_weights, tiles[i].num_keys, acc);
      tile_weights += tiles[i].num_keys * 2 * step;
    }
#pragma GCC unroll 8
    for (int row = 0; row < kBlockRows; ++row) {
      hn::Store(acc[row][0], d, rows + row * 2 * step);
      hn::Store(acc[row][1], d, rows + row * 2 * step + step);
    }
  }
}

// Takes a few tiles, which may lie anywhere, into the panel's softmax as if they were one. `scores`
// is scratch of as many keys as they have together, times lanes, floats. A query that has met only
// keys of weight -inf keeps sum 0.
HWY_INLINE void attend_tiles(const AttentionTile* HWY_RESTRICT tiles, std::int64_t num_tiles,
                             std::int64_t depth, const AttentionPanel& panel,
                             float* HWY_RESTRICT scores) {
  HWY_ALIGN float correction[kMaxPanelQueries];
  std::copy_n(panel.max, panel_queries(), correction);
  const std::int64_t num_keys = score_tiles(tiles, num_tiles, depth, panel, scores);
  weigh_scores(num_keys, panel, scores, correction);
  accumulate_values(tiles, num_tiles, depth, scores, correction, panel);
}

HWY_INLINE void attend_tile(const AttentionTile& tile, std::int64_t depth,
                            const AttentionPanel& panel, float* HWY_RESTRICT scores) {
  attend_tiles(&tile, 1, depth, panel, scores);
}

// out[lane][k] = panel.out[k][lane] / sum for `count` queries, zeros where no key was left in (a
// sum of NaN is none of these: what went wrong before has to be seen behind); lse, where given,
// gets ln of the softmax denominator (-inf where no key was left in).
HWY_INLINE void finish_panel(const AttentionPanel& panel, std::int64_t depth, std::int64_t count,
                             float* HWY_RESTRICT out, std::int64_t out_stride,
                             float* HWY_RESTRICT lse, std::int64_t lse_stride) {
  const std::int64_t lanes = panel_queries();
  for (std::int64_t lane = 0; lane < count; ++lane) {
    const float sum = panel.sum[lane];
    const bool no_key = sum == 0.0f;
    const float inverse = no_key ? 0.0f : 1.0f / sum;
    for (std::int64_t k = 0; k < depth; ++k)
      out[lane * out_stride + k] = panel.out[k * lanes + lane] * inverse;
    if (lse != nullptr)
      lse[lane * lse_stride] = no_key ? -std::numeric_limits<float>::infinity()
                                      : static_cast<float>((static_cast<double>(panel.max[lane]) +
                                                            std::log2(static_cast<double>(sum))) *
                                                           0.69314718055994531);
  }
}

}  // namespace psagen::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
