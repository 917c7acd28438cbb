#include "kernels/cpu/psa/block_scores.h"

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/attention_layout.h"
#include "kernels/cpu/psa/pyramid_layout.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/psa/block_scores.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/attention_tile-inl.h"

#include "hwy/contrib/math/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace psagen::kernels::cpu::HWY_NAMESPACE {
namespace {

constexpr std::int64_t kMaxDepth = 256;

// out[lane] = log2 of the sum of 2^score, or the maximum, over `count` rows of scores.
HWY_INLINE void reduce_rows(FloatTag d, const float* HWY_RESTRICT scores, std::int64_t count,
                            BlockReduction reduction, float* HWY_RESTRICT out) {
  const std::int64_t lanes = panel_queries();
  for (std::int64_t lane = 0; lane < lanes; lane += lanes / 2) {
    FloatVec max = hn::Load(d, scores + lane);
    for (std::int64_t row = 1; row < count; ++row)
      max = hn::Max(max, hn::Load(d, scores + row * lanes + lane));
    if (reduction == BlockReduction::kLogSumExp) {
      FloatVec sum = hn::Zero(d);
      for (std::int64_t row = 0; row < count; ++row)
        sum = hn::Add(sum,
                      exp2_nonpositive(d, hn::Sub(hn::Load(d, scores + row * lanes + lane), max)));
      max = hn::Add(max, hn::Log2(d, sum));
    }
    hn::StoreU(max, d, out + lane);
  }
}

// `rows` rows of keys from `from`, minus the mean, as whole groups of 8; groups of 4 are joined.
HWY_INLINE void centre_keys(const ScoredKeys& source, const float* HWY_RESTRICT from,
                            std::int64_t rows, float* HWY_RESTRICT centred) {
  const std::int64_t width = key_group_width(source.keys_per_block);
  std::fill(centred, centred + round_up_to_group(rows) * source.depth, 0.0f);
  for (std::int64_t first = 0; first < rows; first += width) {
    float* to = centred + first / kTileGroup * kTileGroup * source.depth + first % kTileGroup;
    for (std::int64_t column = 0; column < source.depth; ++column) {
      for (std::int64_t r = 0; r < width; ++r) to[r] = from[r] - source.mean[column];
      from += width;
      to += kTileGroup;
    }
  }
}

// block_scores[block][lane] for every key block and the lanes of `panels` panels of queries.
void score_blocks(const ScoredKeys& source, const float* queries, std::int64_t panels,
                  BlockReduction reduction, float* HWY_RESTRICT block_scores) {
  const FloatTag d;
  const std::int64_t lanes = panel_queries();
  HWY_ALIGN float centred[kMaxScoredKeysPerBlock * kMaxDepth];
  HWY_ALIGN float scores[kMaxScoredKeysPerBlock * kMaxPanelQueries];
  HWY_ALIGN float weight[kMaxScoredKeysPerBlock];
  std::fill(std::begin(weight), std::end(weight), 0.0f);
  const std::int64_t joined = source.keys_per_block < kTileGroup ? 2 : 1;  // blocks at a time
  for (std::int64_t block = 0; block < source.num_blocks; block += joined) {
    const std::int64_t here = std::min(joined, source.num_blocks - block);
    const std::int64_t rows = here * source.keys_per_block;
    const std::int64_t first_row = block * source.keys_per_block;
    AttentionTile tile;
    tile.num_keys = round_up_to_group(rows);
    tile.log2_weight = weight;
    tile.keys = source.keys + first_row * source.depth;
    if (source.log2_weight != nullptr) std::copy_n(source.log2_weight + first_row, rows, weight);
    if (source.mean != nullptr) {
      centre_keys(source, tile.keys, rows, centred);
      tile.keys = centred;
    }
    for (std::int64_t panel = 0; panel < panels; ++panel) {
      FloatVec unused0 = hn::Zero(d), unused1 = hn::Zero(d);
      for (std::int64_t key = 0; key < tile.num_keys; key += kBlockRows)
        score_block(d, tile, key, queries + panel * source.depth * lanes, source.depth, scores,
                    unused0, unused1);
      for (std::int64_t b = 0; b < here; ++b)
        reduce_rows(d, scores + b * source.keys_per_block * lanes, source.keys_per_block, reduction,
                    block_scores + (block + b) * kMaxScoredQueries + panel * lanes);
    }
  }
}

// The panels that hold `count` rows of queries; returns how many.
std::int64_t pack_panels(const float* rows, std::int64_t count, std::int64_t depth, float factor,
                         float* queries) {
  const std::int64_t lanes = panel_queries();
  std::int64_t panels = 0;
  for (std::int64_t first = 0; first < count; first += lanes, ++panels)
    pack_query_panel(rows + first * depth, depth, std::min(lanes, count - first), depth, factor,
                     queries + panels * depth * lanes);
  return panels;
}

}  // namespace
}  // namespace psagen::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace psagen::kernels::cpu {
namespace {

HWY_EXPORT(score_blocks);
HWY_EXPORT(pack_panels);

}  // namespace

void score_key_blocks(const ScoredKeys& keys, const float* queries, std::int64_t count,
                      double scale, BlockReduction reduction, float* panels, float* block_scores) {
  const std::int64_t num_panels = HWY_DYNAMIC_DISPATCH(pack_panels)(
      queries, count, keys.depth, static_cast<float>(scale) * kLog2E, panels);
  HWY_DYNAMIC_DISPATCH(score_blocks)(keys, panels, num_panels, reduction, block_scores);
}

}  // namespace psagen::kernels::cpu
#endif  // HWY_ONCE
