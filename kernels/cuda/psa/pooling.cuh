// Means of neighbouring tokens, as every kernel that makes them sums and rounds them.
#pragma once

#include "kernels/cuda/device/keep.cuh"
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

// What a mean of up to eight tokens multiplies its sum by: exact for whole groups; for part-filled
// ones the CPU's quotient may differ by a unit in the last place of float32. (A branch between
// product and quotient, as the CPU has it, came out of ptxas 13.0 for sm_90 with part-filled groups
// wrong.) A table: a division by arithmetic takes registers that the warps which pool in attention
// do not have.
__constant__ const float kShares[kGroup + 1] = {0.0f,     1.0f,     1.0f / 2, 1.0f / 3, 1.0f / 4,
                                                1.0f / 5, 1.0f / 6, 1.0f / 7, 1.0f / 8};

// How rows are written: to be read soon, or by others than the kernels that run now.
enum class RowStores { kKept, kOnce };

template <RowStores kStores = RowStores::kKept, typename T, int N>
__device__ inline void write_scaled(const float (&sum)[N], float share, T* to) {
  Pack<T, N> row;
#pragma unroll
  for (int i = 0; i < N; ++i) row.values[i] = narrow<T>(sum[i] * share);
  if constexpr (kStores == RowStores::kOnce) {
    static_assert(sizeof(row) == sizeof(uint4));
    __stcs(reinterpret_cast<uint4*>(to), *reinterpret_cast<const uint4*>(&row));
  } else {
    store_pack(row, to);
  }
}

// The mean of `count` tokens, up to eight; zeros where there are none.
template <typename T, int N>
__device__ inline void write_mean(const float (&sum)[N], int count, T* to) {
  write_scaled(sum, kShares[count], to);
}

// The same eight elements of eight tokens, zeros past the last one, as they are stored: all loads
// are in flight before the first is needed.
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
  // The same of rows that this kernel's other readers do not wait for.
  __device__ void load_once(const T* first, std::int64_t stride, int present) {
    static_assert(sizeof(rows[0]) == sizeof(uint4));
#pragma unroll
    for (int t = 0; t < kGroup; ++t, first += stride) {
      keep(first);  // one address, not eight
      rows[t] = {};
      if (t < present)
        *reinterpret_cast<uint4*>(&rows[t]) = __ldcs(reinterpret_cast<const uint4*>(first));
    }
  }
};

// Where the rows of one head that a thread writes are, and which.
template <typename T>
struct PyramidRows {
  T* first;               // the thread's elements of the first row
  const int (&begin)[3];  // the first rows of levels 2, 4 and 8
  int depth;
  bool coarsest_only = false;

  __device__ T* at(int level_index, int token) const {
    const int row = begin[level_index] + (token >> (level_index + 1));
    return first + static_cast<std::int64_t>(row) * depth;
  }
};

// The rows of levels 2, 4 and 8 that the tokens from `token` on, `present` of them, are averaged
// in; kWhole: all eight are. Each level's sums are those of the level below, two by two (the order
// of the CPU); a sum is taken where its tokens come up, so that few of them are held at a time.
template <RowStores kStores = RowStores::kKept, bool kWhole = false, typename T>
__device__ inline void write_group_means(const Group<T>& tokens, const PyramidRows<T>& rows,
                                         int token, int present) {
  constexpr int N = kHeadChunk;
  const auto share = [&](int row, int level) {
    return kWhole ? 1.0f / static_cast<float>(level) : kShares[tokens_of_row(row, level, present)];
  };
  float eight[N];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float four[N];
#pragma unroll
    for (int u = 2 * half; u < 2 * half + 2; ++u) {
      float pair[N];
#pragma unroll
      for (int i = 0; i < N; ++i)
        pair[i] = widen(tokens.rows[2 * u].values[i]) + widen(tokens.rows[2 * u + 1].values[i]);
      if (!rows.coarsest_only)
        write_scaled<kStores>(pair, share(u, 2), rows.at(0, token) + u * rows.depth);
#pragma unroll
      for (int i = 0; i < N; ++i) four[i] = u % 2 == 0 ? pair[i] : four[i] + pair[i];
    }
    if (!rows.coarsest_only)
      write_scaled<kStores>(four, share(half, 4), rows.at(1, token) + half * rows.depth);
#pragma unroll
    for (int i = 0; i < N; ++i) eight[i] = half == 0 ? four[i] : eight[i] + four[i];
  }
  write_scaled<kStores>(eight, share(0, 8), rows.at(2, token));
}

}  // namespace psagen::kernels::cuda
