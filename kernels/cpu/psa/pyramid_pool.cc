// Keys and values averaged over 1, 2, 4 and 8 tokens (spec psa.md 1.1 and 1.5), packed for the
// attention tile. One task is one key block of one head: its rows are read once, and each level's
// sums are made from the sums of the level below, so that every mean is rounded once.
#include <algorithm>
#include <cstdint>
#include <limits>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/psa/psa_kernels.h"
#include "kernels/cpu/psa/pyramid_layout.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/psa/pyramid_pool.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace psagen::kernels::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

struct Rows {
  const float* data;
  std::int64_t stride;
  std::int64_t count;
  const float* row(std::int64_t r) const { return data + r * stride; }
};

// out[column][0..3] = rows 0..3 of that column times factor, columns `width` apart.
HWY_INLINE void transpose_four(const Rows& rows, std::int64_t first, std::int64_t depth,
                               float factor, std::int64_t width, float* HWY_RESTRICT out) {
#if HWY_TARGET == HWY_SCALAR
  for (std::int64_t r = 0; r < kHalfGroup; ++r)
    for (std::int64_t column = 0; column < depth; ++column)
      out[column * width + r] = rows.row(first + r)[column] * factor;
#else
  const hn::FixedTag<float, 4> d;
  const auto scale = hn::Set(d, factor);
  const float* r0 = rows.row(first);
  const float* r1 = rows.row(first + 1);
  const float* r2 = rows.row(first + 2);
  const float* r3 = rows.row(first + 3);
  for (std::int64_t column = 0; column < depth; column += 4) {
    const auto v0 = hn::Mul(hn::LoadU(d, r0 + column), scale);
    const auto v1 = hn::Mul(hn::LoadU(d, r1 + column), scale);
    const auto v2 = hn::Mul(hn::LoadU(d, r2 + column), scale);
    const auto v3 = hn::Mul(hn::LoadU(d, r3 + column), scale);
    const auto low01 = hn::InterleaveLower(d, v0, v1);
    const auto low23 = hn::InterleaveLower(d, v2, v3);
    const auto high01 = hn::InterleaveUpper(d, v0, v1);
    const auto high23 = hn::InterleaveUpper(d, v2, v3);
    float* to = out + column * width;
    hn::StoreU(hn::ConcatLowerLower(d, low23, low01), d, to);
    hn::StoreU(hn::ConcatUpperUpper(d, low23, low01), d, to + width);
    hn::StoreU(hn::ConcatLowerLower(d, high23, high01), d, to + 2 * width);
    hn::StoreU(hn::ConcatUpperUpper(d, high23, high01), d, to + 3 * width);
  }
#endif
}

// Rows past rows.count, up to `padded`, are zeros.
HWY_INLINE void pack_key_block(const Rows& rows, std::int64_t padded, std::int64_t depth,
                               float factor, float* HWY_RESTRICT out) {
  const std::int64_t width = key_group_width(padded);
  for (std::int64_t first = 0; first < padded; first += kHalfGroup) {
    float* group = out + key_offset(padded, depth, first, 0);
    if (first + kHalfGroup <= rows.count) {
      transpose_four(rows, first, depth, factor, width, group);
      continue;
    }
    for (std::int64_t column = 0; column < depth; ++column)
      for (std::int64_t r = 0; r < kHalfGroup; ++r)
        group[column * width + r] =
            first + r < rows.count ? rows.row(first + r)[column] * factor : 0.0f;
  }
}

HWY_INLINE void pack_value_block(const Rows& rows, std::int64_t padded, std::int64_t depth,
                                 float factor, float* HWY_RESTRICT out) {
  const hn::CappedTag<float, kTileGroup> d;
  const std::int64_t step = static_cast<std::int64_t>(hn::Lanes(d));
  const auto scale = hn::Set(d, factor);
  // A few rows at a time: the pieces of one column group are then written side by side.
  for (std::int64_t first = 0; first < padded; first += kTileGroup) {
    const std::int64_t end = std::min(first + kTileGroup, padded);
    for (std::int64_t column = 0; column < depth; column += kTileGroup)
      for (std::int64_t r = first; r < end; ++r) {
        float* to = out + value_offset(padded, r, column);
        for (std::int64_t i = 0; i < kTileGroup; i += step)
          hn::StoreU(
              r < rows.count ? hn::Mul(hn::LoadU(d, rows.row(r) + column + i), scale) : hn::Zero(d),
              d, to + i);
      }
  }
}

// sums[u] = rows[2 u] + rows[2 u + 1], the second only where there is one. May be in place.
HWY_INLINE void add_pairs(const Rows& rows, std::int64_t depth, float* sums) {
  const hn::CappedTag<float, 8> d;
  const std::int64_t step = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t u = 0; u < (rows.count + 1) / 2; ++u) {
    const float* first = rows.row(2 * u);
    const bool paired = 2 * u + 1 < rows.count;
    for (std::int64_t column = 0; column < depth; column += step) {
      auto sum = hn::LoadU(d, first + column);
      if (paired) sum = hn::Add(sum, hn::LoadU(d, rows.row(2 * u + 1) + column));
      hn::StoreU(sum, d, sums + u * depth + column);
    }
  }
}

// The four levels of one block. `out[i]` receives level kPsaLevels[i]; `sums` is scratch of
// key_block / 2 rows.
template <typename Pack, typename Offset>
void pool_block(const Rows& tokens, std::int64_t key_block, std::int64_t depth, const Pack& pack,
                const Offset& offset, float* const (&out)[4], float* sums) {
  pack(tokens, key_block, 1.0f, out[0]);
  Rows below = tokens;
  for (std::size_t i = 1; i < 4; ++i) {
    const std::int64_t level = kPsaLevels[i];
    const std::int64_t padded = key_block / level;
    add_pairs(below, depth, sums);
    below = {sums, depth, (tokens.count + level - 1) / level};
    pack(below, padded, 1.0f / static_cast<float>(level), out[i]);
    // A row of fewer tokens than the level is divided by what it has.
    const std::int64_t full = tokens.count / level;
    const float remainder = static_cast<float>(tokens.count - full * level);
    if (remainder == 0.0f) continue;
    for (std::int64_t column = 0; column < depth; ++column)
      out[i][offset(padded, full, column)] = sums[full * depth + column] / remainder;
  }
}

void pool_head_block(const HeadPyramid& head, std::int64_t block, const float* k,
                     std::int64_t k_stride, const float* v, std::int64_t v_stride, float* sums) {
  const std::int64_t depth = head.depth;
  const std::int64_t key_block = head.shape.key_block;
  const std::int64_t tokens = head.shape.block_tokens(block);
  float* keys[4];
  float* values[4];
  for (int level = 0; level < 4; ++level) {
    keys[level] = head.block_keys(level, block);
    values[level] = head.block_values(level, block);
  }
  const auto pack_keys = [depth](const Rows& rows, std::int64_t padded, float factor, float* out)
                             HWY_ATTR { pack_key_block(rows, padded, depth, factor, out); };
  const auto pack_values = [depth](const Rows& rows, std::int64_t padded, float factor, float* out)
                               HWY_ATTR { pack_value_block(rows, padded, depth, factor, out); };
  const auto key_at = [depth](std::int64_t rows, std::int64_t row, std::int64_t column) {
    return key_offset(rows, depth, row, column);
  };
  pool_block({k, k_stride, tokens}, key_block, depth, pack_keys, key_at, keys, sums);
  pool_block({v, v_stride, tokens}, key_block, depth, pack_values, value_offset, values, sums);
}

}  // namespace
}  // namespace psagen::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace psagen::kernels::cpu {
namespace {

HWY_EXPORT(pool_head_block);

// log2(1) to log2(8), rounded to float.
constexpr float kLog2[9] = {0.0f,          0.0f,          1.0f,          1.5849625007f, 2.0f,
                            2.3219280949f, 2.5849625007f, 2.8073549221f, 3.0f};

void write_log2_weight(const PyramidShape& shape, float* log2_weight) {
  for (int i = 0; i < 4; ++i) {
    const std::int64_t level = kPsaLevels[static_cast<std::size_t>(i)];
    for (std::int64_t block = 0; block < shape.key_blocks(); ++block) {
      float* rows = log2_weight + shape.row_begin(i, block);
      for (std::int64_t u = 0; u < shape.key_block / level; ++u) {
        const std::int64_t tokens = std::min(shape.block_tokens(block) - u * level, level);
        rows[u] = tokens > 0 ? kLog2[tokens] : -std::numeric_limits<float>::infinity();
      }
    }
  }
}

}  // namespace

void pool_pyramid(Context& context, const BuildPyramidArgs& args) {
  const PyramidShape& shape = args.pyramid.shape;
  const std::int64_t heads = args.k.dim(2);
  const std::int64_t depth = args.k.dim(3);
  const std::int64_t blocks = shape.key_blocks();
  const std::int64_t scratch_size = shape.key_block / 2 * depth;
  Workspace::Scope scratch(context.workspace());
  float* sums = scratch.take<float>(static_cast<std::size_t>(context.num_threads() * scratch_size));
  if (scratch.counts_only()) return;
  write_log2_weight(shape, args.pyramid.log2_weight.data<float>());
  const float* k = args.k.data<float>();
  const float* v = args.v.data<float>();
  std::uint8_t* caps =
      args.pyramid.level_caps ? args.pyramid.level_caps.data<std::uint8_t>() : nullptr;

  parallel_for(
      context, args.k.dim(0) * heads * blocks, 4, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t task = begin; task < end; ++task) {
          const std::int64_t block = task % blocks;
          const std::int64_t head = task / blocks % heads;
          const std::int64_t batch = task / blocks / heads;
          const std::int64_t token = block * shape.key_block;
          const float* block_k =
              k + batch * args.k.stride(0) + token * args.k.stride(1) + head * args.k.stride(2);
          const float* block_v =
              v + batch * args.v.stride(0) + token * args.v.stride(1) + head * args.v.stride(2);
          HWY_DYNAMIC_DISPATCH(pool_head_block)
          (HeadPyramid(args.pyramid, batch, head), block, block_k, args.k.stride(1), block_v,
           args.v.stride(1), sums + thread_index() * scratch_size);
          if (caps != nullptr)
            caps[task] = similar_up_to_level(block_k, args.k.stride(1), shape.block_tokens(block),
                                             depth, args.similarity_thresholds);
        }
      });
}

}  // namespace psagen::kernels::cpu
#endif  // HWY_ONCE
