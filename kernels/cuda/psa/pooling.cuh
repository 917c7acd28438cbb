// Means of neighbouring tokens, as every kernel that makes them rounds them.
#pragma once

#include "kernels/cuda/device/numeric.cuh"

namespace psagen::kernels::cuda {

// Tokens that row `row` of a level averages, of `present` tokens from the level's first row on.
__device__ inline int tokens_of_row(int row, int level, int present) {
  const int left = present - row * level;
  return left < 0 ? 0 : left < level ? left : level;
}

// Of a row of `count` tokens; -inf of one without any.
__device__ inline float log2_weight_of(int count) {
  return count == 0 ? __int_as_float(0xff800000) : log2f(static_cast<float>(count));
}

// The mean of `count` tokens, zeros where there are none. One product for whole groups, where it is
// exact, and for part-filled ones, where the CPU's quotient may differ by a unit in the last place
// of float32. (A branch between product and quotient, as the CPU has it, came out of ptxas 13.0 for
// sm_90 with part-filled groups wrong.)
template <typename T, int N>
__device__ inline void write_mean(const float (&sum)[N], int count, T* to) {
  const float share = count == 0 ? 0.0f : 1.0f / static_cast<float>(count);
  float row[N];
#pragma unroll
  for (int i = 0; i < N; ++i) row[i] = sum[i] * share;
  store_floats<N>(row, to);
}

}  // namespace psagen::kernels::cuda
