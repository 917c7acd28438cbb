// Sums and maxima over a warp, over a part of one and over a block of threads.
#pragma once

#include <cuda_runtime.h>

namespace psagen::kernels::cuda {

__device__ inline float warp_sum(float value) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
  return value;
}

__device__ inline float warp_max(float value) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2)
    value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, step));
  return value;
}

// For blocks of kThreads threads; `scratch` holds kThreads / 32 floats and is free on return. Every
// thread gets the result. The order of the sum is fixed.
template <int kThreads>
__device__ inline float block_sum(float value, float* scratch) {
  constexpr int kWarps = kThreads / 32;
  value = warp_sum(value);
  if constexpr (kWarps == 1) return value;
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
  __syncthreads();
  float total = 0.0f;
#pragma unroll
  for (int i = 0; i < kWarps; ++i) total += scratch[i];
  __syncthreads();
  return total;
}

// Sum over the kThreads neighbouring threads that share a row: a part of a warp, a warp or the
// whole block. All threads of the warp (of the block) must call it. `scratch` as above; not read
// where a row is no more than a warp's.
template <int kThreads>
__device__ inline float group_sum(float value, float* scratch) {
  static_assert(kThreads == 1 || kThreads % 32 == 0 || 32 % kThreads == 0);
  if constexpr (kThreads > 32) {
    return block_sum<kThreads>(value, scratch);
  } else {
#pragma unroll
    for (int step = kThreads / 2; step > 0; step /= 2)
      value += __shfl_xor_sync(0xffffffffu, value, step);
    return value;
  }
}

}  // namespace psagen::kernels::cuda
