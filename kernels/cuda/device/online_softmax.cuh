// Softmax over scores that arrive tile by tile (arXiv 1805.02867), of two rows of a warp's tile.
//
// A thread's scores lie as mma and wgmma leave them: scores[i] is of column
// 8 (i / 4) + 2 (lane % 4) + i % 2, in row lane / 4 where i % 4 < 2, else in row lane / 4 + 8. The
// four lanes of a quad share a row. Everything is in powers of two: exp(x) = exp2(x log2 e).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace psagen::kernels::cuda {

inline constexpr float kLog2E = 1.4426950408889634f;
inline constexpr float kLn2 = 0.6931471805599453f;

// Within 2^-22 of it relative, 0 for -inf, results below 2^-126 become 0.
__device__ inline float exp2_approx(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

__device__ inline float minus_infinity() { return __int_as_float(0xff800000); }

__device__ inline float quad_max(float value) {
  value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, 1));
  return fmaxf(value, __shfl_xor_sync(0xffffffffu, value, 2));
}

__device__ inline float quad_sum(float value) {
  value += __shfl_xor_sync(0xffffffffu, value, 1);
  return value + __shfl_xor_sync(0xffffffffu, value, 2);
}

// Leaves out the columns from `valid` on. For the last tile only: the empty asm keeps the caller's
// condition a branch, which ptxas would else turn into selects that every tile pays for.
template <int kScores>
__device__ inline void mask_columns(float (&scores)[kScores], int valid) {
  asm volatile("" ::: "memory");
  const int first = 2 * (static_cast<int>(threadIdx.x) % 4);
#pragma unroll
  for (int i = 0; i < kScores; ++i)
    if (8 * (i / 4) + first + i % 2 >= valid) scores[i] = minus_infinity();
}

// scores += weights of the columns, which lie in shared memory. For few tiles only, as above.
template <int kScores>
__device__ inline void add_column_weights(float (&scores)[kScores], const float* weights) {
  asm volatile("" ::: "memory");
  const float2* const own = reinterpret_cast<const float2*>(weights) + threadIdx.x % 4;
#pragma unroll
  for (int i = 0; i < kScores; i += 4) {
    const float2 weight = own[i];
    scores[i] += weight.x;
    scores[i + 1] += weight.y;
    scores[i + 2] += weight.x;
    scores[i + 3] += weight.y;
  }
}

// Log weights of a tile's keys, -inf past the last one: lane l holds those of
// columns l, l + 32, ... A register for each score instead would not fit beside the scores.
template <int kColumns>
struct KeyWeights {
  float values[kColumns / 32];

  __device__ void load(const float* log_weight, int begin, int keys) {
    const int first = begin + static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int i = 0; i < kColumns / 32; ++i) {
      const int key = first + 32 * i;
      values[i] = key < keys ? __ldg(log_weight + key) : minus_infinity();
    }
  }

  // scores = scale * scores + weight of the column in powers of two, for each of some row tiles of
  // kColumns / 2 scores.
  template <typename... Scores>
  __device__ void add_to(float scale, Scores&... scores) const {
    const int first = 2 * (static_cast<int>(threadIdx.x) % 4);
    float scaled[kColumns / 32];  // here, not in load(), which need not wait for the memory then
#pragma unroll
    for (int i = 0; i < kColumns / 32; ++i) scaled[i] = values[i] * kLog2E;
#pragma unroll
    for (int i = 0; i < kColumns / 4; ++i) {
      const int group = i / 2, at = 4 * group + i % 2;
      const float weight =
          __shfl_sync(0xffffffffu, scaled[group / 4], 8 * (group % 4) + first + i % 2);
      ((scores[at] = fmaf(scores[at], scale, weight)), ...);
      ((scores[at + 2] = fmaf(scores[at + 2], scale, weight)), ...);
    }
  }
};

// What two rows have come to so far. `sum` is of this thread's columns only, until finish().
struct OnlineSoftmax {
  float max[2];
  float sum[2];

  __device__ void reset() {
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      max[row] = minus_infinity();
      sum[row] = 0.0f;
    }
  }

  // Replaces scores by exp2(scale * score - max of the row so far). `rescale` is what everything
  // summed up before is to be multiplied by. `scale` is positive. With kMayBeEmpty a row may have
  // had no score above -inf yet.
  template <bool kMayBeEmpty, int kScores>
  __device__ void update(float (&scores)[kScores], float scale, float (&rescale)[2]) {
    update_shifted<kMayBeEmpty, false>(scores, scale, 0.0f, rescale);
  }

  // The same for scale * score + shift, which costs nothing for each score.
  template <bool kMayBeEmpty, bool kShifted, int kScores>
  __device__ void update_shifted(float (&scores)[kScores], float scale, float shift,
                                 float (&rescale)[2]) {
    // Two chains a row, over odd and even groups of eight columns.
    float chain[2][2];
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      chain[0][row] = fmaxf(scores[2 * row], scores[2 * row + 1]);
      chain[1][row] = fmaxf(scores[4 + 2 * row], scores[5 + 2 * row]);
    }
#pragma unroll
    for (int i = 8; i < kScores; i += 4) {
#pragma unroll
      for (int row = 0; row < 2; ++row)
        chain[i / 4 % 2][row] =
            fmaxf(chain[i / 4 % 2][row], fmaxf(scores[i + 2 * row], scores[i + 2 * row + 1]));
    }
    float offset[2];
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      const float tile_max = quad_max(fmaxf(chain[0][row], chain[1][row]));
      const float previous = max[row];
      max[row] = fmaxf(previous, kShifted ? fmaf(tile_max, scale, shift) : tile_max * scale);
      const float finite = kMayBeEmpty && max[row] == minus_infinity() ? 0.0f : max[row];
      rescale[row] = exp2_approx(previous - finite);
      sum[row] *= rescale[row];
      offset[row] = kShifted ? shift - finite : -finite;
    }
    float partial[4] = {0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll
    for (int i = 0; i < kScores; ++i) {
      scores[i] = exp2_approx(fmaf(scores[i], scale, offset[i % 4 / 2]));
      partial[i % 4] += scores[i];
    }
    sum[0] += partial[0] + partial[1];
    sum[1] += partial[2] + partial[3];
  }

  // What sums taken beside a row's maximum `other` are multiplied by.
  __device__ float weight(int row, float other) const {
    return exp2_approx(other - (max[row] == minus_infinity() ? 0.0f : max[row]));
  }

  // After the last tile: the whole row's sums.
  __device__ void finish() {
    sum[0] = quad_sum(sum[0]);
    sum[1] = quad_sum(sum[1]);
  }

  // What the sums of values are multiplied by; 0 where no key is left.
  __device__ float inverse(int row) const {
    return sum[row] == 0.0f ? 0.0f : __fdividef(1.0f, sum[row]);
  }

  // ln of the sum of exp of all scores; -inf where no key is left.
  __device__ float log_sum_exp(int row) const {
    return sum[row] == 0.0f ? minus_infinity() : (max[row] + log2f(sum[row])) * kLn2;
  }
};

}  // namespace psagen::kernels::cuda
