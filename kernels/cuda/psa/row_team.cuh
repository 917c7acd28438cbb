// Who works on a row of scores together: a warp, of which a block of threads has four, or a block
// of threads. What they share lasts from a row's beginning to its end.
#pragma once

#include <cstdint>

#include "kernels/cuda/device/reduce.cuh"

namespace psagen::kernels::cuda {

template <int kThreads_>
struct RowTeam {
  static constexpr int kThreads = kThreads_;
  static constexpr int kWarps = kThreads / 32;
  static constexpr int kRowsOfBlock = kWarps == 1 ? 4 : 1;
  struct Scratch {
    float floats[kWarps];
    std::int32_t ints[kWarps];
  };

  // Of the thread in the team, and of the team in its block of threads.
  static __device__ int index() { return static_cast<int>(threadIdx.x) % kThreads; }
  static __device__ int row() { return static_cast<int>(threadIdx.x) / kThreads; }

  static __device__ void sync() {
    if constexpr (kWarps == 1)
      __syncwarp();
    else
      __syncthreads();
  }
  static __device__ bool any(bool value) {
    if constexpr (kWarps == 1)
      return __any_sync(0xffffffffu, value);
    else
      return __syncthreads_or(value);
  }
  static __device__ float max(float value, Scratch& scratch) {
    return combined(warp_max(value), scratch.floats, [](float a, float b) { return fmaxf(a, b); });
  }
  // In a fixed order.
  static __device__ float sum(float value, Scratch& scratch) { return sum(value, scratch.floats); }
  static __device__ std::int32_t sum(std::int32_t value, Scratch& scratch) {
    return sum(value, scratch.ints);
  }

 private:
  template <typename T>
  static __device__ T sum(T value, T (&scratch)[kWarps]) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
    return combined(value, scratch, [](T a, T b) { return a + b; });
  }
  // What each warp has.
  template <typename T, typename Combine>
  static __device__ T combined(T value, T (&scratch)[kWarps], const Combine& combine) {
    if constexpr (kWarps == 1) return value;
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
    __syncthreads();
    T all = scratch[0];
#pragma unroll
    for (int i = 1; i < kWarps; ++i) all = combine(all, scratch[i]);
    __syncthreads();
    return all;
  }
};

}  // namespace psagen::kernels::cuda
