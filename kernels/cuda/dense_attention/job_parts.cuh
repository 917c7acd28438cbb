// A job that several blocks of threads share (job_queue.h): each part goes to memory as it lies in
// registers, and the warpgroup that is done last reads all of them back, its own as well, in their
// order.
#pragma once

#include "kernels/cuda/dense_attention/hopper_traits.h"
#include "kernels/cuda/device/hopper.cuh"
#include "kernels/cuda/device/online_softmax.cuh"

namespace psagen::kernels::cuda {

// By all threads of a warpgroup, `group` of the computing ones, which `barrier` is free for. True
// for the last: `sums` and `softmax` are then the whole job's.
template <typename Traits>
__device__ inline bool gather_parts(const JobQueue& queue, int piece, int group, int barrier,
                                    float (&sums)[Traits::kSums], OnlineSoftmax& softmax) {
  constexpr int kVectors = Traits::kPartVectors, kThreads = 128;
  constexpr int kOfPart = Traits::kConsumers * kVectors * kThreads;
  const int thread = static_cast<int>(threadIdx.x) % kThreads;
  const int job = piece / queue.parts;  // of the shared ones
  float4* const parts = reinterpret_cast<float4*>(queue.sums) +
                        static_cast<std::int64_t>(job) * queue.parts * kOfPart +
                        group * kVectors * kThreads + thread;
  float4* const own = parts + (piece - job * queue.parts) * kOfPart;
#pragma unroll
  for (int i = 0; i + 1 < kVectors; ++i)
    own[i * kThreads] = make_float4(sums[4 * i], sums[4 * i + 1], sums[4 * i + 2], sums[4 * i + 3]);
  own[(kVectors - 1) * kThreads] =
      make_float4(softmax.max[0], softmax.max[1], softmax.sum[0], softmax.sum[1]);
  __threadfence();
  sync_threads(barrier, kThreads);
  const bool is_last = thread == 0 && atomicAdd(queue.arrived + job * Traits::kConsumers + group,
                                                1) == queue.parts - 1;
  // By shuffle: known to be the same for a warp.
  if (__shfl_sync(0xffffffffu, any_thread(barrier, kThreads, is_last), 0) == 0) return false;
  __threadfence();

  const auto state_of = [&](int part) {
    return __ldcg(parts + part * kOfPart + (kVectors - 1) * kThreads);
  };
  softmax.reset();
  for (int part = 0; part < queue.parts; ++part) {
    const float4 state = state_of(part);
    softmax.max[0] = fmaxf(softmax.max[0], state.x);
    softmax.max[1] = fmaxf(softmax.max[1], state.y);
  }
#pragma unroll
  for (int i = 0; i < Traits::kSums; ++i) sums[i] = 0.0f;
  for (int part = 0; part < queue.parts; ++part) {
    const float4 state = state_of(part);
    const float weight[2] = {softmax.weight(0, state.x), softmax.weight(1, state.y)};
    softmax.sum[0] += state.z * weight[0];
    softmax.sum[1] += state.w * weight[1];
#pragma unroll
    for (int i = 0; i + 1 < kVectors; ++i) {
      const float4 values = __ldcg(parts + part * kOfPart + i * kThreads);
      sums[4 * i] += values.x * weight[0];
      sums[4 * i + 1] += values.y * weight[0];
      sums[4 * i + 2] += values.z * weight[1];
      sums[4 * i + 3] += values.w * weight[1];
    }
  }
  return true;
}

}  // namespace psagen::kernels::cuda
