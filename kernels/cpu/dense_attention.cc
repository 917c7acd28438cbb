// Keys and values of a head are packed once into the layouts of attention_layout.h and shared by
// all threads; a thread then takes blocks of 128 queries through all key tiles. A tile of keys and
// values (128 x 128: 128 KiB) stays in the second-level cache while the block's panels pass over
// it.
//
// Measured by bench_attention --threads 1 --clock cpu on Zen 4 (AVX-512): 99 GFLOP/s at L = 9216,
// D = 128 and 94 at D = 64, where dnnl_sgemm makes 99 to 108 of the two products alone.
#include "kernels/cpu/dense_attention.h"

#include <algorithm>
#include <array>
#include <limits>

#include "kernels/cpu/attention_layout.h"
#include "kernels/cpu/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/dense_attention.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/attention_tile-inl.h"

#ifndef PSAGEN_KERNELS_CPU_DENSE_ATTENTION_BLOCK
#define PSAGEN_KERNELS_CPU_DENSE_ATTENTION_BLOCK
namespace psagen::kernels::cpu {

inline constexpr std::int64_t kBlockQueries = 128;
inline constexpr std::int64_t kTileKeys = 128;

// A block of at most kBlockQueries queries of one head, and the scratch memory of one thread.
struct AttentionBlock {
  const float* q;
  std::int64_t q_stride, num_queries, depth;
  float query_factor;  // scale / ln 2
  AttentionTile keys;  // all of the head; num_keys is a multiple of 8
  const float* bias;   // [num_queries][used_keys], rows bias_stride apart, or null
  std::int64_t bias_stride, used_keys;
  float* out;
  std::int64_t out_stride;
  float* lse;  // or null
  std::int64_t lse_stride;
  float* scratch;
};

// Floats of scratch memory a block needs, whatever the vector length.
inline std::int64_t block_scratch(std::int64_t depth) {
  return kBlockQueries * (depth + round_up_to_group(depth) + 2) + 2 * kTileKeys * kMaxPanelQueries;
}

}  // namespace psagen::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace psagen::kernels::cpu::HWY_NAMESPACE {

// log2_bias[key][lane] = bias[lane][key] / ln 2 + log2_weight[key]; lanes without a query get the
// weight alone, so that they stay finite.
HWY_INLINE void pack_bias(const AttentionBlock& block, std::int64_t first_query, std::int64_t count,
                          std::int64_t first_key, std::int64_t num_keys, float* log2_bias) {
  const std::int64_t lanes = panel_queries();
  for (std::int64_t key = 0; key < num_keys; ++key)
    std::fill_n(log2_bias + key * lanes, lanes, block.keys.log2_weight[first_key + key]);
  const std::int64_t used = std::min(num_keys, block.used_keys - first_key);
  for (std::int64_t lane = 0; lane < count; ++lane) {
    const float* row = block.bias + (first_query + lane) * block.bias_stride + first_key;
    for (std::int64_t key = 0; key < used; ++key)
      log2_bias[key * lanes + lane] += row[key] * kLog2E;
  }
}

void attend_block(const AttentionBlock& block) {
  const std::int64_t lanes = panel_queries(), depth = block.depth;
  const std::int64_t num_panels = (block.num_queries + lanes - 1) / lanes;
  float* scores = block.scratch;
  float* log2_bias = scores + kTileKeys * kMaxPanelQueries;
  float* memory = log2_bias + kTileKeys * kMaxPanelQueries;
  const std::int64_t panel_floats = lanes * (depth + round_up_to_group(depth) + 2);
  const auto panel_at = [=](std::int64_t index) HWY_ATTR {
    float* base = memory + index * panel_floats;
    float* out = base + lanes * depth;
    float* max = out + lanes * round_up_to_group(depth);
    return AttentionPanel{base, max, max + lanes, out};
  };
  for (std::int64_t i = 0; i < num_panels; ++i) {
    const std::int64_t count = std::min(lanes, block.num_queries - i * lanes);
    pack_query_panel(block.q + i * lanes * block.q_stride, block.q_stride, count, depth,
                     block.query_factor, panel_at(i).queries);
    reset_panel(depth, panel_at(i));
  }
  for (std::int64_t key = 0; key < block.keys.num_keys; key += kTileKeys) {
    AttentionTile tile = block.keys;
    tile.keys += key * depth;
    tile.values += key * kTileGroup;
    tile.log2_weight += key;
    tile.num_keys = std::min(kTileKeys, block.keys.num_keys - key);
    for (std::int64_t i = 0; i < num_panels; ++i) {
      if (block.bias != nullptr) {
        const std::int64_t count = std::min(lanes, block.num_queries - i * lanes);
        pack_bias(block, i * lanes, count, key, tile.num_keys, log2_bias);
        tile.log2_bias = log2_bias;
      }
      attend_tile(tile, depth, panel_at(i), scores);
    }
  }
  for (std::int64_t i = 0; i < num_panels; ++i) {
    const std::int64_t first = i * lanes;
    finish_panel(panel_at(i), depth, std::min(lanes, block.num_queries - first),
                 block.out + first * block.out_stride, block.out_stride,
                 block.lse == nullptr ? nullptr : block.lse + first * block.lse_stride,
                 block.lse_stride);
  }
}

}  // namespace psagen::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace psagen::kernels::cpu {
namespace {

HWY_EXPORT(attend_block);

constexpr std::int64_t kPackedBytes = 32
                                      << 20;  // keys and values packed at a time: a cache's worth
constexpr std::int64_t kPackKeys = 512;       // keys packed as one piece of work

// Heads [first, first + count) of one batch, packed.
struct PackedHeads {
  std::int64_t first, count;
  std::int64_t padded_keys;
  std::int64_t head_floats;  // of keys; values likewise
  float* keys;
  float* values;
};

float* row_at(const TensorView& view, std::int64_t batch, std::int64_t row, std::int64_t head) {
  return view.data<float>() + batch * view.stride(0) + row * view.stride(1) + head * view.stride(2);
}

const float* row_at(const ConstTensorView& view, std::int64_t batch, std::int64_t row,
                    std::int64_t head) {
  return view.data<float>() + batch * view.stride(0) + row * view.stride(1) + head * view.stride(2);
}

void pack_heads(const Context& context, const AttentionArgs& args, std::int64_t batch,
                const PackedHeads& packed) {
  const std::int64_t keys = args.k.dim(1), depth = args.k.dim(3);
  const std::int64_t pieces = (keys + kPackKeys - 1) / kPackKeys;
  parallel_for(context, packed.count * pieces, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t head = i / pieces, key = i % pieces * kPackKeys;
      const std::int64_t count = std::min(kPackKeys, keys - key);
      pack_keys(row_at(args.k, batch, key, packed.first + head), args.k.stride(1), count, depth,
                packed.keys + head * packed.head_floats + key * depth);
      pack_values(row_at(args.v, batch, key, packed.first + head), args.v.stride(1), count, depth,
                  packed.padded_keys * kTileGroup,
                  packed.values + head * packed.head_floats + key * kTileGroup);
    }
  });
}

void attend_heads(const Context& context, const AttentionArgs& args, std::int64_t batch,
                  const PackedHeads& packed, const float* log2_weight, float* scratch) {
  const std::int64_t queries = args.q.dim(1), depth = args.q.dim(3);
  const std::int64_t blocks = (queries + kBlockQueries - 1) / kBlockQueries;
  const auto attend = HWY_DYNAMIC_DISPATCH(attend_block);
  parallel_for(context, packed.count * blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t index = i / blocks, head = packed.first + index;
      const std::int64_t first = i % blocks * kBlockQueries;
      AttentionBlock block{};
      block.q = row_at(args.q, batch, first, head);
      block.q_stride = args.q.stride(1);
      block.num_queries = std::min(kBlockQueries, queries - first);
      block.depth = depth;
      block.query_factor = static_cast<float>(args.scale / 0.69314718055994531);
      block.keys = {packed.keys + index * packed.head_floats,
                    packed.values + index * packed.head_floats,
                    packed.padded_keys * kTileGroup,
                    log2_weight,
                    nullptr,
                    packed.padded_keys};
      block.used_keys = args.k.dim(1);
      if (args.bias) {
        block.bias =
            args.bias.data<float>() + head * args.bias.stride(0) + first * args.bias.stride(1);
        block.bias_stride = args.bias.stride(1);
      }
      block.out = row_at(args.out, batch, first, head);
      block.out_stride = args.out.stride(1);
      if (args.lse) {
        block.lse = args.lse.data<float>() + batch * args.lse.stride(0) +
                    head * args.lse.stride(1) + first * args.lse.stride(2);
        block.lse_stride = args.lse.stride(2);
      }
      block.scratch = scratch + thread_index() * block_scratch(depth);
      attend(block);
    }
  });
}

// ln of the keys' weights in units of ln 2; -inf for the rows that fill up the last group.
void fill_log2_weights(const ConstTensorView& log_weight, std::int64_t batch, std::int64_t keys,
                       std::int64_t padded_keys, float* log2_weight) {
  for (std::int64_t key = 0; key < keys; ++key)
    log2_weight[key] =
        log_weight ? log_weight.data<float>()[batch * log_weight.stride(0) + key] * kLog2E : 0.0f;
  std::fill(log2_weight + keys, log2_weight + padded_keys, -std::numeric_limits<float>::infinity());
}

}  // namespace

void attention(Context& context, const AttentionArgs& args) {
  const std::int64_t batches = args.q.dim(0), heads = args.q.dim(2), depth = args.q.dim(3);
  const std::int64_t padded_keys = round_up_to_group(args.k.dim(1));
  PackedHeads packed{};
  packed.padded_keys = padded_keys;
  packed.head_floats = padded_keys * round_up_to_group(depth);
  const std::int64_t head_bytes = 2 * packed.head_floats * static_cast<std::int64_t>(sizeof(float));
  const std::int64_t group = std::clamp<std::int64_t>(
      kPackedBytes / std::max<std::int64_t>(head_bytes, 1), 1, std::max<std::int64_t>(heads, 1));

  Workspace::Scope memory(context.workspace());
  packed.keys = memory.take<float>(static_cast<std::size_t>(group * packed.head_floats));
  packed.values = memory.take<float>(static_cast<std::size_t>(group * packed.head_floats));
  float* log2_weight = memory.take<float>(static_cast<std::size_t>(padded_keys));
  float* scratch =
      memory.take<float>(static_cast<std::size_t>(context.num_threads() * block_scratch(depth)));
  if (memory.counts_only()) return;
  for (std::int64_t batch = 0; batch < batches; ++batch) {
    fill_log2_weights(args.key_log_weight, batch, args.k.dim(1), padded_keys, log2_weight);
    for (packed.first = 0; packed.first < heads; packed.first += group) {
      packed.count = std::min(group, heads - packed.first);
      pack_heads(context, args, batch, packed);
      attend_heads(context, args, batch, packed, log2_weight, scratch);
    }
  }
}

}  // namespace psagen::kernels::cpu
#endif  // HWY_ONCE
