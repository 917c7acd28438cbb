// Who works on a row of scores together: a block of threads, or for short rows a warp, which needs
// no barrier and whose sort never leaves its registers. Each thread has kItems blocks of the row.
//
// What a team has: kThreads, kItems, kRowsOfBlock; Shared, which lasts from a row's beginning to
// its end; index() of the thread, row() of the team within its block of threads; block_of(), which
// block an item is before the sort; max(), sum(), any() over the team, sums in a fixed order;
// sort(), descending and, of equal keys, by block; sync().
#pragma once

#include <cub/block/block_radix_sort.cuh>

#include "kernels/cuda/device/reduce.cuh"

namespace psagen::kernels::cuda {

template <int kThreads_, int kItems_>
struct BlockTeam {
  static constexpr int kThreads = kThreads_;
  static constexpr int kItems = kItems_;
  static constexpr int kRowsOfBlock = 1;
  static constexpr int kWarps = kThreads / 32;
  using Sort = cub::BlockRadixSort<std::uint32_t, kThreads, kItems, std::uint16_t>;
  struct Shared {
    typename Sort::TempStorage sort;
    float floats[kWarps];
    double doubles[kWarps];
    std::int32_t ints[kWarps];
  };

  static __device__ int index() { return static_cast<int>(threadIdx.x); }
  static __device__ int row() { return 0; }
  // Neighbours: the sort is stable.
  static __device__ int block_of(int item) { return index() * kItems + item; }
  static __device__ void sync() { __syncthreads(); }
  static __device__ bool any(bool value) { return __syncthreads_or(value); }

  static __device__ float max(float value, Shared& shared) {
    value = warp_max(value);
    if (threadIdx.x % 32 == 0) shared.floats[threadIdx.x / 32] = value;
    __syncthreads();
    float max = shared.floats[0];
#pragma unroll
    for (int i = 1; i < kWarps; ++i) max = fmaxf(max, shared.floats[i]);
    __syncthreads();
    return max;
  }
  static __device__ double sum(double value, Shared& shared) { return sum(value, shared.doubles); }
  static __device__ std::int32_t sum(std::int32_t value, Shared& shared) {
    return sum(value, shared.ints);
  }
  // No key is negative: 31 bits. What is past the row has weight 0 and comes after every block.
  static __device__ void sort(std::uint32_t (&keys)[kItems], std::uint16_t (&blocks)[kItems],
                              Shared& shared) {
    Sort(shared.sort).SortDescending(keys, blocks, 0, 31);
    __syncthreads();
  }

 private:
  template <typename T>
  static __device__ T sum(T value, T (&scratch)[kWarps]) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
    __syncthreads();
    T sum = scratch[0];
#pragma unroll
    for (int i = 1; i < kWarps; ++i) sum += scratch[i];
    __syncthreads();
    return sum;
  }
};

// Bitonic (Batcher 1968), by key and then by block, which makes it stable.
template <int kItems_>
struct WarpTeam {
  static constexpr int kThreads = 32;
  static constexpr int kItems = kItems_;
  static constexpr int kRowsOfBlock = 4;
  struct Shared {};

  static __device__ int index() { return static_cast<int>(threadIdx.x) % 32; }
  static __device__ int row() { return static_cast<int>(threadIdx.x) / 32; }
  // In turns, as lanes read best: the sort goes by block, too.
  static __device__ int block_of(int item) { return item * 32 + index(); }
  static __device__ void sync() { __syncwarp(); }
  static __device__ bool any(bool value) { return __any_sync(0xffffffffu, value); }
  static __device__ float max(float value, Shared&) { return warp_max(value); }
  template <typename T>
  static __device__ T sum(T value, Shared&) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
    return value;
  }

  static __device__ void sort(std::uint32_t (&keys)[kItems], std::uint16_t (&blocks)[kItems],
                              Shared&) {
    // Ascending in this order is descending by key and, of equal ones, ascending by block.
    std::uint64_t order[kItems];
#pragma unroll
    for (int i = 0; i < kItems; ++i) order[i] = std::uint64_t{~keys[i]} << 16 | blocks[i];
#pragma unroll
    for (int run = 2; run <= 32 * kItems; run *= 2)
#pragma unroll
      for (int step = run / 2; step > 0; step /= 2) {
        if (step >= kItems)
          exchange_lanes(order, run, step / kItems);
        else
          exchange_items(order, run, step);
      }
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      keys[i] = ~static_cast<std::uint32_t>(order[i] >> 16);
      blocks[i] = static_cast<std::uint16_t>(order[i]);
    }
  }

 private:
  static __device__ bool ascends(int item, int run) {
    return ((index() * kItems + item) & run) == 0;
  }
  static __device__ void exchange_lanes(std::uint64_t (&order)[kItems], int run, int distance) {
    const bool is_lower = (index() & distance) == 0;
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const std::uint64_t other = __shfl_xor_sync(0xffffffffu, order[i], distance);
      if ((other < order[i]) == (is_lower == ascends(i, run))) order[i] = other;
    }
  }
  static __device__ void exchange_items(std::uint64_t (&order)[kItems], int run, int step) {
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      if ((i & step) != 0) continue;
      const std::uint64_t low = order[i], high = order[i + step];
      if ((high < low) == ascends(i, run)) {
        order[i] = high;
        order[i + step] = low;
      }
    }
  }
};

}  // namespace psagen::kernels::cuda
