// Sparse attention, a warp a query: for F32 and the head dimensions, strides and scales that the
// tiled kernels do not take. A lane has the score of every 32nd row of a key block, then every 32nd
// column of the values; all in float32.
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/dense_attention/portable_block.cuh"
#include "kernels/cuda/device/numeric.cuh"
#include "kernels/cuda/device/reduce.cuh"
#include "kernels/cuda/device/row_values.cuh"
#include "kernels/cuda/psa/sparse_attention/packed_row.h"
#include "kernels/cuda/psa/sparse_attention/sparse_ways.h"

namespace psagen::kernels::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kMaxHeadDim = 256;
constexpr int kChunk = 8;  // head dimensions are multiples of it

template <typename S, typename T>
struct RowParams {
  const S* q;
  const S* k;
  const T* v;
  T* out;
  HeadStrides q_strides, k_strides, v_strides, out_strides;
  const S* pooled_keys;  // [B, N, pooled rows, D]
  const T* pooled_values;
  std::int64_t pooled_rows;
  float* lse;  // [B, N, L], optional
  BlockLevels blocks;
  int tokens, heads, depth, query_block, query_blocks;
  float scale;
};

// Rows of one key block at its level.
template <typename S, typename T>
struct BlockRows {
  const S* keys;
  const T* values;
  std::int64_t key_stride, value_stride;
  int count, tokens, level_index;
};

template <typename S, typename T>
__device__ BlockRows<S, T> block_rows(const RowParams<S, T>& params, int batch, int head, int block,
                                      int level) {
  const BlockLevels& blocks = params.blocks;
  BlockRows<S, T> rows;
  rows.level_index = __ffs(level) - 1;
  rows.tokens = blocks.block_tokens(block);
  rows.count = (rows.tokens + level - 1) >> rows.level_index;
  const std::int64_t first = blocks.first_row(rows.level_index, block);
  if (level == 1) {
    rows.key_stride = params.k_strides.row;
    rows.value_stride = params.v_strides.row;
    rows.keys = params.k + batch * params.k_strides.batch + head * params.k_strides.head;
    rows.values = params.v + batch * params.v_strides.batch + head * params.v_strides.head;
  } else {
    const std::int64_t begin = blockIdx.y * params.pooled_rows * params.depth;
    rows.key_stride = rows.value_stride = params.depth;
    rows.keys = params.pooled_keys + begin;
    rows.values = params.pooled_values + begin;
  }
  rows.keys += first * rows.key_stride;
  rows.values += first * rows.value_stride;
  return rows;
}

// kAligned: every row of keys is on 16 bytes.
template <typename S, typename T, bool kAligned>
__global__ void __launch_bounds__(32 * kWarps, 4) sparse_row_kernel(const RowParams<S, T> params) {
  constexpr int kColumns = kMaxHeadDim / 32;
  __shared__ float queries[kWarps][kMaxHeadDim];
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int token = static_cast<int>(blockIdx.x) * kWarps + warp;
  if (token >= params.tokens) return;
  const int batch = static_cast<int>(blockIdx.y) / params.heads;
  const int head = static_cast<int>(blockIdx.y) - batch * params.heads;
  const std::int64_t row =
      static_cast<std::int64_t>(blockIdx.y) * params.query_blocks + token / params.query_block;
  const std::uint8_t* const levels = params.blocks.levels + row * params.blocks.key_blocks;
  const S* const q = params.q + batch * params.q_strides.batch + head * params.q_strides.head +
                     token * params.q_strides.row;
  float* const query = queries[warp];
  for (int d = lane; d < params.depth; d += 32) query[d] = widen(q[d]) * params.scale;
  __syncwarp();

  float sums[kColumns] = {};
  float max = -INFINITY, sum = 0.0f;
  for (int block = 0; block < params.blocks.key_blocks; ++block) {
    const int level = levels[block];
    if (level == 0) continue;
    const BlockRows<S, T> rows = block_rows(params, batch, head, block, level);
    for (int begin = 0; begin < rows.count; begin += 32) {
      const int key_row = begin + lane;
      float score = -INFINITY;
      if (key_row < rows.count) {
        const S* const key = rows.keys + key_row * rows.key_stride;
        float dot = 0.0f;
#pragma unroll 2
        for (int d = 0; d < params.depth; d += kChunk) {
          float values[kChunk];
          load_chunk<kAligned>(key + d, values);
#pragma unroll
          for (int i = 0; i < kChunk; ++i) dot = fmaf(query[d + i], values[i], dot);
        }
        const int tokens = row_tokens(rows.tokens, rows.level_index, key_row);
        score = dot + logf(static_cast<float>(tokens));
      }
      const float previous = max;
      max = fmaxf(max, warp_max(score));
      const float rescale = expf(previous - max), weight = expf(score - max);
      sum = sum * rescale + warp_sum(weight);
      for (float& value : sums) value *= rescale;
      const int count = min(32, rows.count - begin);
#pragma unroll 2
      for (int i = 0; i < count; ++i) {
        const float share = __shfl_sync(0xffffffffu, weight, i);
        const T* const values = rows.values + (begin + i) * rows.value_stride;
#pragma unroll
        for (int c = 0; c < kColumns; ++c)
          if (const int d = lane + 32 * c; d < params.depth)
            sums[c] = fmaf(share, widen(values[d]), sums[c]);
      }
    }
  }
  T* const out = params.out + batch * params.out_strides.batch + head * params.out_strides.head +
                 token * params.out_strides.row;
  const float inverse = sum == 0.0f ? 0.0f : 1.0f / sum;
#pragma unroll
  for (int c = 0; c < kColumns; ++c)
    if (const int d = lane + 32 * c; d < params.depth) out[d] = narrow<T>(sums[c] * inverse);
  if (params.lse != nullptr && lane == 0)
    params.lse[static_cast<std::int64_t>(blockIdx.y) * params.tokens + token] =
        sum == 0.0f ? -INFINITY : max + logf(sum);
}

HeadStrides head_strides(const ConstTensorView& view) {
  return {view.stride(0), view.stride(1), view.stride(2)};
}

bool has_aligned_rows(const ConstTensorView& view) {
  const auto per_access = static_cast<std::int64_t>(16 / dtype_size(view.dtype()));
  if (reinterpret_cast<std::uintptr_t>(view.bytes()) % 16 != 0) return false;
  for (int axis = 0; axis < 3; ++axis)
    if (view.dim(axis) > 1 && view.stride(axis) % per_access != 0) return false;
  return true;
}

}  // namespace

void row_sparse_attention(CudaRuntime& runtime, const SparseAttentionArgs& args) {
  constexpr std::int64_t kMaxGridHeight = 65535;
  const std::int64_t heads = args.q.dim(0) * args.q.dim(2);
  PSAGEN_CHECK(args.q.dim(3) <= kMaxHeadDim && args.q.dim(3) % kChunk == 0, ErrorCode::kUnsupported,
               "sparse_attention: heads of ", args.q.dim(3), ", wanted a multiple of ", kChunk,
               " up to ", kMaxHeadDim);
  PSAGEN_CHECK(heads <= kMaxGridHeight, ErrorCode::kUnsupported, "sparse_attention: ", heads,
               " heads of all batches, wanted at most ", kMaxGridHeight);
  const dim3 grid(static_cast<unsigned>((args.q.dim(1) + kWarps - 1) / kWarps),
                  static_cast<unsigned>(heads));
  with_real_types(args.q.dtype(), args.v.dtype(), [&]<typename S, typename T>(S, T) {
    const RowParams<S, T> params{
        .q = reinterpret_cast<const S*>(args.q.bytes()),
        .k = reinterpret_cast<const S*>(args.k.bytes()),
        .v = reinterpret_cast<const T*>(args.v.bytes()),
        .out = reinterpret_cast<T*>(args.out.bytes()),
        .q_strides = head_strides(args.q),
        .k_strides = head_strides(args.k),
        .v_strides = head_strides(args.v),
        .out_strides = head_strides(args.out),
        .pooled_keys = reinterpret_cast<const S*>(args.pyramid.keys.bytes()),
        .pooled_values = reinterpret_cast<const T*>(args.pyramid.values.bytes()),
        .pooled_rows = args.pyramid.shape.total_rows(),
        .lse = args.lse ? args.lse.data<float>() : nullptr,
        .blocks = block_levels(args),
        .tokens = static_cast<int>(args.q.dim(1)),
        .heads = static_cast<int>(args.q.dim(2)),
        .depth = static_cast<int>(args.q.dim(3)),
        .query_block = args.query_block,
        .query_blocks = static_cast<int>(args.levels.dim(2)),
        .scale = static_cast<float>(args.scale)};
    const bool aligned = has_aligned_rows(args.k) && has_aligned_rows(args.pyramid.keys);
    const auto kernel = aligned ? sparse_row_kernel<S, T, true> : sparse_row_kernel<S, T, false>;
    kernel<<<grid, 32 * kWarps, 0, runtime.stream()>>>(params);
  });
  PSAGEN_CUDA(cudaGetLastError());
}

}  // namespace psagen::kernels::cuda
