// Means of neighbouring tokens, as every kernel that makes them sums and rounds them.
#pragma once

#include "kernels/cuda/device/numeric.cuh"
#include "kernels/cuda/psa/head_rows.h"

namespace psagen::kernels::cuda {

inline constexpr int kGroup = 8;  // tokens of the coarsest level

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

// Eight elements of eight tokens, zeros past the last one, as they are stored: all loads are in
// flight before the first is needed.
template <typename T>
struct Group {
  Pack<T, kHeadChunk> rows[kGroup];

  __device__ void load(const T* first, std::int64_t stride, int present) {
#pragma unroll
    for (int t = 0; t < kGroup; ++t) {
      rows[t] = {};
      if (t < present) rows[t] = *reinterpret_cast<const Pack<T, kHeadChunk>*>(first + t * stride);
    }
  }
};

// Sums of kCount tokens each, and the rows made of them.
template <int kCount>
struct Sums {
  static constexpr int kLevel = kGroup / kCount;
  float values[kCount][kHeadChunk];

  template <typename T>
  __device__ explicit Sums(const Group<T>& group) {
    static_assert(kLevel == 2);
#pragma unroll
    for (int u = 0; u < kCount; ++u)
#pragma unroll
      for (int i = 0; i < kHeadChunk; ++i)
        values[u][i] = widen(group.rows[2 * u].values[i]) + widen(group.rows[2 * u + 1].values[i]);
  }
  template <int kBelow>
  __device__ explicit Sums(const Sums<kBelow>& below) {
    static_assert(kBelow == 2 * kCount);
#pragma unroll
    for (int u = 0; u < kCount; ++u)
#pragma unroll
      for (int i = 0; i < kHeadChunk; ++i)
        values[u][i] = below.values[2 * u][i] + below.values[2 * u + 1][i];
  }

  // `present` tokens are there; `to` is the first of the rows.
  template <typename T>
  __device__ void write_means(T* to, int depth, int present) const {
#pragma unroll
    for (int u = 0; u < kCount; ++u)
      write_mean(values[u], tokens_of_row(u, kLevel, present),
                 to + static_cast<std::int64_t>(u) * depth);
  }
};

// The rows of levels 2, 4 and 8 that the tokens from `token` on, `present` of them, are averaged
// in; `rows` is where this thread's elements of the first row are, begin[i] the first row of level
// 2^(i+1).
template <typename T>
__device__ inline void write_group_means(const Group<T>& tokens, T* rows,
                                         const std::int64_t (&begin)[3], std::int64_t token,
                                         int depth, int present) {
  const Sums<4> pairs(tokens);
  pairs.write_means(rows + (begin[0] + token / 2) * depth, depth, present);
  const Sums<2> fours(pairs);
  fours.write_means(rows + (begin[1] + token / 4) * depth, depth, present);
  const Sums<1> eight(fours);
  eight.write_means(rows + (begin[2] + token / 8) * depth, depth, present);
}

}  // namespace psagen::kernels::cuda
