// What select_blocks judges key blocks by: means of 32 queries, or every eighth query. A thread has
// eight elements of one row; it adds queries one after the other, as the CPU does. They are scaled
// here, before they are rounded, so that products with keys are scores. Bytes: q once, 1/32 of it
// written, or twice 1/8 of it.
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/device/numeric.cuh"
#include "kernels/cuda/psa/block_scores.h"

namespace psagen::kernels::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kInFlight = 8;  // loads of a thread; 32 would take 128 registers

struct PoolQueriesParams {
  HeadRows q;
  void* means;
  SelectionShape shape;
  float scale_log2;
  int slots, chunks;  // chunks of eight elements of a row
  bool staggered;     // one query a row, not their mean
  int blocks_of_row;  // blocks of threads that share the means of one slot, over all heads
};

template <typename T, typename Mean>
__global__ void __launch_bounds__(kThreads) pool_queries_kernel(const PoolQueriesParams p) {
  // Over the chunks of all heads of a token, which lie side by side in q.
  const int item =
      static_cast<int>(blockIdx.x) % p.blocks_of_row * kThreads + static_cast<int>(threadIdx.x);
  if (item >= p.shape.heads * p.chunks) return;
  const int head = item / p.chunks, column = item % p.chunks * kHeadChunk;
  const int block = static_cast<int>(blockIdx.x) / p.blocks_of_row / p.slots;
  const int slot = static_cast<int>(blockIdx.x) / p.blocks_of_row % p.slots;
  const int batch = static_cast<int>(blockIdx.y);
  float sum[kHeadChunk] = {};
  if (slot < p.shape.means_of(block)) {
    const std::int64_t token =
        static_cast<std::int64_t>(block) * p.shape.query_block + slot * p.shape.queries_of_row;
    const std::int64_t left = p.shape.tokens - token;
    int first_query = 0;
    int count = left < p.shape.queries_of_row ? static_cast<int>(left) : p.shape.queries_of_row;
    if (p.staggered) {
      first_query = min(staggered_query(static_cast<int>(token / kStaggeredQueries)), count - 1);
      count = 1;
    }
    const T* const q =
        static_cast<const T*>(p.q.data) + p.q.offset(batch, token + first_query, head) + column;
    for (int first = 0; first < count; first += kInFlight) {
      Pack<T, kHeadChunk> packs[kInFlight];
#pragma unroll
      for (int t = 0; t < kInFlight; ++t) {
        packs[t] = {};
        if (first + t < count)
          packs[t] =
              *reinterpret_cast<const Pack<T, kHeadChunk>*>(q + (first + t) * p.q.token_stride);
      }
#pragma unroll
      for (int t = 0; t < kInFlight; ++t)
#pragma unroll
        for (int i = 0; i < kHeadChunk; ++i) sum[i] += widen(packs[t].values[i]);
    }
#pragma unroll
    for (int i = 0; i < kHeadChunk; ++i) sum[i] = sum[i] / static_cast<float>(count) * p.scale_log2;
  }
  const std::int64_t row =
      (static_cast<std::int64_t>(batch * p.shape.heads + head) * p.shape.query_blocks + block) *
          p.slots +
      slot;
  store_floats<kHeadChunk>(sum, static_cast<Mean*>(p.means) + row * p.shape.depth + column);
}

}  // namespace

void pool_queries(CudaRuntime& runtime, const SelectionShape& shape, const ConstTensorView& q,
                  double scale, const PooledQueries& out, void* means) {
  const int chunks = shape.depth / kHeadChunk;
  const int blocks_of_row = (shape.heads * chunks + kThreads - 1) / kThreads;
  const PoolQueriesParams p{head_rows("select_blocks", "q", q),
                            means,
                            shape,
                            static_cast<float>(scale * 1.4426950408889634),
                            out.slots,
                            chunks,
                            shape.queries_of_row == kStaggeredQueries,
                            blocks_of_row};
  const dim3 grid(static_cast<unsigned>(blocks_of_row * shape.query_blocks * out.slots),
                  static_cast<unsigned>(q.dim(0)));
  with_real_type(q.dtype(), [&](auto type) {
    using T = decltype(type);
    if (out.dtype == DType::kF32)
      pool_queries_kernel<T, float><<<grid, kThreads, 0, runtime.stream()>>>(p);
    else
      pool_queries_kernel<T, T><<<grid, kThreads, 0, runtime.stream()>>>(p);
  });
  PSAGEN_CUDA(cudaGetLastError());
}

}  // namespace psagen::kernels::cuda
