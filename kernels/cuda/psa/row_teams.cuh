// Who works on a row of scores together: a block of threads, or for short rows a warp, which needs
// no barrier of the block and exchanges keys in registers. Each thread has kItems blocks of the
// row.
//
// What a team has: kThreads, kItems, kRowsOfBlock; Shared, which lasts from a row's beginning to
// its end; index() of the thread, row() of the team within its block of threads; block_of(), which
// block an item is before the sort; max(), sum(), any() over the team, sums in a fixed order;
// sort(), of the first `count` blocks, descending and, of equal keys, by block; what is past them
// has key 0 and comes last; sync().
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
  static __device__ float sum(float value, Shared& shared) { return sum(value, shared.floats); }
  static __device__ std::int32_t sum(std::int32_t value, Shared& shared) {
    return sum(value, shared.ints);
  }
  // No key is negative: 31 bits. What is past the row has weight 0 and comes after every block.
  static __device__ void sort(std::uint32_t (&keys)[kItems], std::uint16_t (&blocks)[kItems],
                              int /*count*/, Shared& shared) {
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

// Bitonic (Batcher 1968), by key and then by block, which makes it stable. First by words that have
// a block and what fits of its key, half the exchanges' work; whether that was enough is looked up.
template <int kItems_>
struct WarpTeam {
  static constexpr int kThreads = 32;
  static constexpr int kItems = kItems_;
  static constexpr int kRowsOfBlock = 4;
  static constexpr int kCapacity = 32 * kItems;
  struct Shared {
    std::uint32_t keys[kCapacity];  // by block
  };

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
                              int count, Shared& shared) {
    static_assert(kCapacity <= 256, "a block is eight bits of a word");
    static_assert((kItems & (kItems - 1)) == 0, "the exchanges pair all items");
    std::uint32_t least = 0xffffffffu, most = 0;
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      most = ::max(most, keys[i]);
      if (blocks[i] < count) least = ::min(least, keys[i]);
    }
    least = __reduce_min_sync(0xffffffffu, least);
    most = __reduce_max_sync(0xffffffffu, most);
    // As many upper bits as there is room for, of how far a key is from the most.
    const int shift = ::min(__clz(static_cast<int>(most - least)), 8);
    std::uint32_t words[kItems];
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      shared.keys[blocks[i]] = keys[i];
      const std::uint32_t distance = blocks[i] < count ? (most - keys[i]) << shift : 0xffffffffu;
      words[i] = (distance & ~255u) | blocks[i];
    }
    sort(words);
    __syncwarp();
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      blocks[i] = static_cast<std::uint16_t>(words[i] & 255u);
      keys[i] = shared.keys[blocks[i]];
    }
    // Words keep equal keys in the order of their blocks; keys that differ in the bits that did not
    // fit may have stayed the wrong way round.
    if (any(!descend(keys))) sort_whole(keys, blocks);
    __syncwarp();
  }

 private:
  static __device__ bool descend(const std::uint32_t (&keys)[kItems]) {
    const std::uint32_t next = __shfl_down_sync(0xffffffffu, keys[0], 1);
    bool all = index() == 31 || keys[kItems - 1] >= next;
#pragma unroll
    for (int i = 0; i + 1 < kItems; ++i) all = all && keys[i] >= keys[i + 1];
    return all;
  }
  static __device__ void sort_whole(std::uint32_t (&keys)[kItems],
                                    std::uint16_t (&blocks)[kItems]) {
    std::uint64_t words[kItems];
#pragma unroll
    for (int i = 0; i < kItems; ++i) words[i] = std::uint64_t{~keys[i]} << 16 | blocks[i];
    sort(words);
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      keys[i] = ~static_cast<std::uint32_t>(words[i] >> 16);
      blocks[i] = static_cast<std::uint16_t>(words[i]);
    }
  }

  // Ascending: keys are turned round in words. Loops stay loops where lanes exchange: unrolled they
  // are 70 kB of instructions, and a warp, which goes through them once, waits for each line.
  template <typename Word>
  static __device__ void sort(Word (&words)[kItems]) {
#pragma unroll
    for (int run = 2; run < kItems; run *= 2)
#pragma unroll
      for (int step = run / 2; step > 0; step /= 2)
#pragma unroll
        for (int i = 0; i < kItems; ++i)
          if ((i & step) == 0) exchange_items(words[i], words[i + step], (i & run) == 0);
#pragma unroll 1
    for (int lanes = 1; lanes <= 32; lanes *= 2) {  // of a run
      const bool ascends = (index() & lanes) == 0;
#pragma unroll 1
      for (int distance = lanes / 2; distance > 0; distance /= 2) {
        const bool takes_less = ascends == ((index() & distance) == 0);
#pragma unroll
        for (Word& word : words) {
          const Word other = __shfl_xor_sync(0xffffffffu, word, distance);
          word = takes_less ? ::min(word, other) : ::max(word, other);
        }
      }
#pragma unroll
      for (int step = kItems / 2; step > 0; step /= 2)
#pragma unroll
        for (int i = 0; i < kItems; ++i)
          if ((i & step) == 0) exchange_items(words[i], words[i + step], ascends);
    }
  }
  template <typename Word>
  static __device__ void exchange_items(Word& first, Word& second, bool ascends) {
    const Word less = ::min(first, second), more = ::max(first, second);
    first = ascends ? less : more;
    second = ascends ? more : less;
  }
};

}  // namespace psagen::kernels::cuda
