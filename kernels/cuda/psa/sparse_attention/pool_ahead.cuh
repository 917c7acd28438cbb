// Pyramid rows made by warps that attention leaves idle, ahead of the warps that attend
// (PendingRows in hopper_sparse_params.h).
//
// The work is numbered, chunks of 64 or 32 tokens of one head, the heads in order; a warp that is
// free takes the next number. Nobody here waits for rows (pool_heads() in packed_tiles.cuh
// does for the head before to be begun), so what the announcing warp waits for always comes, heads
// being taken in the same order. A warp's lanes cover a token's row by
// accesses of 16 bytes, two rows or four at a time. Sums and rounding are those of ../pooling.cuh.
#pragma once

#include <type_traits>

#include "kernels/cuda/psa/pooling.cuh"
#include "kernels/cuda/psa/sparse_attention/hopper_sparse_params.h"
#include "kernels/cuda/psa/sparse_attention/level_walk.cuh"

namespace psagen::kernels::cuda {

// Orders this thread's plain accesses of global memory and those of bulk copies.
__device__ inline void fence_global_copies() {
  asm volatile("fence.proxy.async.global;" ::: "memory");
}

__device__ inline int load_relaxed(const int* from) {
  int value;
  asm volatile("ld.relaxed.gpu.global.s32 %0, [%1];" : "=r"(value) : "l"(from) : "memory");
  return value;
}

__device__ inline int load_acquired(const int* from) {
  int value;
  asm volatile("ld.acquire.gpu.global.s32 %0, [%1];" : "=r"(value) : "l"(from) : "memory");
  return value;
}

// The tokens of a chunk, from `first` on, of keys or values of a head: all rows that they are
// averaged in. kWhole: all tokens are there.
template <bool kWhole, typename T, int kHeadDim>
__device__ inline void pool_tokens(const PendingRows& pending, const T* from, int token_stride,
                                   T* to, int first, int lane) {
  constexpr int kLanes = kHeadDim / kHeadChunk;  // of a row
  constexpr int kStep = 32 / kLanes * kGroup;    // tokens that the warp takes at a time
  static_assert(32 % kStep == 0, "what a chunk has at least");
  const int own = first + lane / kLanes * kGroup;
  from += lane % kLanes * kHeadChunk + static_cast<std::int64_t>(own) * token_stride;
  to += lane % kLanes * kHeadChunk;
#pragma unroll 1
  for (int step = 0; step < pending.chunk_tokens; step += kStep) {
    keep(from);
    keep(to);
    const int present = kWhole ? kGroup : min(max(pending.tokens - own - step, 0), kGroup);
    Group<T> tokens;
    tokens.load_once(from, token_stride, present);
    write_group_means<RowStores::kOnce, kWhole>(tokens, PyramidRows<T>{to, pending.begin, kHeadDim},
                                                own + step, present);
    from += static_cast<std::int64_t>(kStep) * token_stride;
  }
}

template <typename S, typename T, int kHeadDim>
__device__ inline void pool_chunk(const PendingRows& pending, int number, int lane) {
  const int all_head = number / pending.chunks;
  const int chunk = number - all_head * pending.chunks;
  const int batch = all_head / pending.heads, head = all_head - batch * pending.heads;
  const int of_head = pending.chunks_of_rows;
  const bool is_key = chunk >= of_head;  // where there are more chunks than those of the values
  const int first = (is_key ? chunk - of_head : chunk) * pending.chunk_tokens;
  const std::int64_t to = all_head * pending.rows * kHeadDim;
  const auto pool = [&]<typename Element>(const HeadRows& from, Element* rows) {
    const Element* const tokens =
        static_cast<const Element*>(from.data) + from.offset(batch, 0, head);
    const int stride = static_cast<int>(from.token_stride);
    if (first + pending.chunk_tokens <= pending.tokens)
      pool_tokens<true, Element, kHeadDim>(pending, tokens, stride, rows + to, first, lane);
    else
      pool_tokens<false, Element, kHeadDim>(pending, tokens, stride, rows + to, first, lane);
  };
  if constexpr (std::is_same_v<S, T>) {
    pool(is_key ? pending.k : pending.v, static_cast<T*>(is_key ? pending.keys : pending.values));
  } else if (is_key) {
    pool(pending.k, static_cast<S*>(pending.keys));
  } else {
    pool(pending.v, static_cast<T*>(pending.values));
  }
  // Bulk copies of other multiprocessors read the rows once they see the count.
  __threadfence();
  fence_global_copies();
  __syncwarp();
  if (lane == 0) {
    __threadfence();
    atomicAdd(pending.done + all_head, 1);
  }
  __syncwarp();
}

// By a whole warp: chunks, until the first `end` of all are taken.
template <typename S, typename T, int kHeadDim>
__device__ inline void pool_ahead(const PendingRows& pending, int end, int lane) {
  for (;;) {
    int number = pending.all_chunks();
    if (lane == 0 && load_relaxed(pending.taken) < end) number = atomicAdd(pending.taken, 1);
    number = __shfl_sync(kAllLanes, number, 0);
    // One past `end`, where others were faster, is done all the same: nobody else will.
    if (number >= pending.all_chunks()) return;
    pool_chunk<S, T, kHeadDim>(pending, number, lane);
  }
}

// By a whole warp: until all rows of a head are there. Who copies them passes a fence besides.
__device__ inline void await_rows(const PendingRows& pending, int all_head) {
  while (load_acquired(pending.done + all_head) < pending.chunks) {
  }
}

}  // namespace psagen::kernels::cuda
