// A team that sorts rows of up to 256, 512 or 1,024 keys. Each thread has kItems of the row's
// blocks; what it has beside a RowTeam: Shared; block_of(), which block an item is before the sort;
// sort(), of the first `count` blocks, descending and, of equal keys, by block: what is past them
// has key 0 and comes last. Then thread t has positions [t kItems, (t + 1) kItems). Keys are the
// bits of numbers, none of them negative.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "kernels/cuda/psa/row_team.cuh"

namespace psagen::kernels::cuda {

// Bitonic (Batcher 1968), by key and then by block, which makes it stable. First by words that have
// a block and what fits of its key, half the exchanges' work; whether that was enough is looked up.
template <int kThreads>
struct BitonicTeam : RowTeam<kThreads> {
  static constexpr int kItems = 8;
  static constexpr int kCapacity = kThreads * kItems;
  using Team = RowTeam<kThreads>;
  struct Shared : Team::Scratch {
    std::uint32_t keys[kCapacity];  // by block
    std::uint32_t first_keys[kThreads];
    // Words of all threads, where they pass from warp to warp.
    alignas(8) std::byte words[Team::kWarps == 1 ? 8 : kCapacity * 8];
  };

  // In turns, as threads read best: the sort goes by block, too.
  static __device__ int block_of(int item) { return item * kThreads + Team::index(); }

  static __device__ void sort(std::uint32_t (&keys)[kItems], std::uint16_t (&blocks)[kItems],
                              int count, Shared& shared) {
    constexpr int kBlockBits = std::countr_zero(static_cast<unsigned>(kCapacity));
    float most = 0.0f, least_negated = -std::numeric_limits<float>::max();
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const float weight = __uint_as_float(keys[i]);
      most = fmaxf(most, weight);
      if (blocks[i] < count) least_negated = fmaxf(least_negated, -weight);
    }
    const std::uint32_t largest = __float_as_uint(Team::max(most, shared));
    const std::uint32_t smallest = __float_as_uint(-Team::max(least_negated, shared));
    // As many upper bits as there is room for, of how far a key is from the largest.
    const int shift = ::min(__clz(static_cast<int>(largest - smallest)), kBlockBits);
    std::uint32_t words[kItems];
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      shared.keys[blocks[i]] = keys[i];
      const std::uint32_t distance = blocks[i] < count ? (largest - keys[i]) << shift : 0xffffffffu;
      words[i] = distance >> kBlockBits << kBlockBits | blocks[i];
    }
    sort_words(words, shared);
    Team::sync();
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      blocks[i] = static_cast<std::uint16_t>(words[i] % kCapacity);
      keys[i] = shared.keys[blocks[i]];
    }
    // Words keep equal keys in the order of their blocks; keys that differ in the bits that did not
    // fit may have stayed the wrong way round.
    if (Team::any(!descend(keys, shared))) sort_whole(keys, blocks, shared);
    Team::sync();
  }

 private:
  static __device__ bool descend(const std::uint32_t (&keys)[kItems], Shared& shared) {
    const int index = Team::index();
    shared.first_keys[index] = keys[0];
    Team::sync();
    bool all = index + 1 == kThreads || keys[kItems - 1] >= shared.first_keys[index + 1];
#pragma unroll
    for (int i = 0; i + 1 < kItems; ++i) all = all && keys[i] >= keys[i + 1];
    return all;
  }

  static __device__ void sort_whole(std::uint32_t (&keys)[kItems], std::uint16_t (&blocks)[kItems],
                                    Shared& shared) {
    std::uint64_t words[kItems];
#pragma unroll
    for (int i = 0; i < kItems; ++i) words[i] = std::uint64_t{~keys[i]} << 16 | blocks[i];
    sort_words(words, shared);
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      keys[i] = ~static_cast<std::uint32_t>(words[i] >> 16);
      blocks[i] = static_cast<std::uint16_t>(words[i]);
    }
  }

  // Ascending: keys are turned round in words. Loops stay loops where threads exchange: unrolled
  // they are 70 kB of instructions, and a warp, which goes through them once, waits for each line.
  template <typename Word>
  static __device__ void sort_words(Word (&words)[kItems], Shared& shared) {
#pragma unroll
    for (int run = 2; run < kItems; run *= 2)
#pragma unroll
      for (int step = run / 2; step > 0; step /= 2)
#pragma unroll
        for (int i = 0; i < kItems; ++i)
          if ((i & step) == 0) exchange_items(words[i], words[i + step], (i & run) == 0);
#pragma unroll 1
    for (int threads = 1; threads <= kThreads; threads *= 2) {  // of a run
      const bool ascends = (Team::index() & threads) == 0;
#pragma unroll 1
      for (int distance = threads / 2; distance > 0; distance /= 2)
        exchange_threads(words, distance, ascends == ((Team::index() & distance) == 0), shared);
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

  template <typename Word>
  static __device__ void exchange_threads(Word (&words)[kItems], int distance, bool takes_less,
                                          Shared& shared) {
    const auto keep = [&](Word& word, Word other) {
      word = takes_less ? ::min(word, other) : ::max(word, other);
    };
    if (distance < 32) {
#pragma unroll
      for (Word& word : words) keep(word, __shfl_xor_sync(0xffffffffu, word, distance));
    } else if constexpr (Team::kWarps > 1) {
      Word* const all = reinterpret_cast<Word*>(shared.words);
      const int index = Team::index();
#pragma unroll
      for (int i = 0; i < kItems; ++i) all[i * kThreads + index] = words[i];
      Team::sync();
#pragma unroll
      for (int i = 0; i < kItems; ++i) keep(words[i], all[i * kThreads + (index ^ distance)]);
      Team::sync();
    }
  }
};

}  // namespace psagen::kernels::cuda
