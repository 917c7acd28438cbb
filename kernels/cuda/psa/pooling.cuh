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

// The mean of `count` tokens, as the CPU computes it: of whole groups by multiplication, zeros
// where there are none.
template <typename T, int N>
__device__ inline void write_mean(const float (&sum)[N], int count, int level, T* to) {
  float row[N];
#pragma unroll
  for (int i = 0; i < N; ++i)
    row[i] = count == 0       ? 0.0f
             : count == level ? sum[i] * (1.0f / static_cast<float>(level))
                              : sum[i] / static_cast<float>(count);
  store_floats<N>(row, to);
}

}  // namespace psagen::kernels::cuda
