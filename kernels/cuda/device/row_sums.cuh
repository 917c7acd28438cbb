// Sums of several rows at once by a block of threads: one barrier for four of them.
#pragma once

#include <cuda_runtime.h>

namespace psagen::kernels::cuda {

// Sums over the block of threads of one number for each of four rows; every thread gets all of
// them.
// `scratch` alternates between two uses, so that one barrier a use is enough.
template <int kMostWarps>
__device__ inline void sum_rows(float (&values)[4], float (&scratch)[kMostWarps][4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  // Half of the lanes keep two of the rows, then one.
  const bool upper = (lane & 16) != 0, second = (lane & 8) != 0;
  float pair[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const float sent = upper ? values[i] : values[2 + i];
    pair[i] = (upper ? values[2 + i] : values[i]) + __shfl_xor_sync(0xffffffffu, sent, 16);
  }
  const float sent = second ? pair[0] : pair[1];
  float own = (second ? pair[1] : pair[0]) + __shfl_xor_sync(0xffffffffu, sent, 8);
#pragma unroll
  for (int step = 4; step > 0; step /= 2) own += __shfl_xor_sync(0xffffffffu, own, step);
  if (lane % 8 == 0) scratch[warp][lane / 8] = own;
  __syncthreads();
#pragma unroll
  for (int t = 0; t < 4; ++t) values[t] = 0.0f;
  for (int w = 0; w < static_cast<int>(blockDim.x) / 32; ++w) {
    const float4 sums = *reinterpret_cast<const float4*>(scratch[w]);
    values[0] += sums.x;
    values[1] += sums.y;
    values[2] += sums.z;
    values[3] += sums.w;
  }
}

}  // namespace psagen::kernels::cuda
