// Tiles and shared memory of the Hopper kernel, and what it is launched with for dense attention.
#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/dense_attention/fused_attention.h"
#include "kernels/cuda/dense_attention/job_queue.h"

namespace psagen::kernels::cuda {

// A box of a tensor map: 64 columns (the 128 bytes of a swizzled row) of some rows.
inline constexpr int kBoxColumns = 64;

// S is the type of queries and keys, T that of values and results.
template <typename S, typename T, int kHeadDimension>
struct HopperTraits {
  using ScoreElement = S;
  using Element = T;
  static constexpr int kHeadDim = kHeadDimension;

  // 128 x 128: two warpgroups of 64 queries; scores 64, probabilities 32 and sums of values
  // kHeadDim / 2 registers a thread.
  static constexpr int kQueries = kFusedQueries;
  static constexpr int kKeys = 128;
  static constexpr int kSlots = 5;  // tiles of keys and values together
  static constexpr int kScores = kKeys / 2;
  static constexpr int kSums = kHeadDim / 2;

  // Warpgroup 0 loads, 1 and 2 compute.
  static constexpr int kConsumers = kFusedWarpgroups;
  static constexpr int kThreads = 128 * (1 + kConsumers);
  // The block of threads owns what it was launched with, 384 x 168 registers. `Tiles` says how many
  // of them a loading and a computing thread get; claiming more than there are would wait for ever.
  static constexpr int kRegisters = 65536 / kThreads / 8 * 8 * (1 + kConsumers);

  static constexpr int kBoxes = kHeadDim / kBoxColumns;
  static constexpr int kBoxBytes = kKeys * kBoxColumns * 2;
  static constexpr int kTileBytes = kBoxes * kBoxBytes;  // of queries, keys or values
  static_assert(kQueries == kKeys);

  // Rows of the result that a warp stores at a time.
  static constexpr int kStripeRows = 16;

  static constexpr int kPartVectors = part_vectors(kHeadDim);
  static_assert(kPartVectors == kSums / 4 + 1);
};

// The swizzle is a function of the address, so every tile starts at a multiple of 1,024 bytes.
// `Tiles` says where keys and values come from (hopper_consumer.cuh).
template <typename Traits, typename Tiles>
struct HopperShared {
  struct alignas(1024) Tile {
    std::byte bytes[Traits::kTileBytes];
  };
  // A buffer is full when its bytes are there, empty when those that read it are done.
  template <int kSlots>
  struct Ring {
    std::uint64_t full[kSlots];
    std::uint64_t empty[kSlots];
  };

  Tile queries[2];  // and where a job's are no longer needed its result, on its way to memory
  Tile tiles[Traits::kSlots];
  Ring<2> job_ring;
  Ring<2> query_ring;
  Ring<Traits::kSlots> tile_ring;
  AnnouncedJob jobs[2];
  typename Tiles::Shared notes;
};

// Of dense attention.
struct HopperParams {
  CUtensorMap q, k, v, out;  // [B, N, L, D]: boxes of kBoxColumns x 128 rows, of out x 16
  FusedProblem problem;
  JobQueue queue;
};

}  // namespace psagen::kernels::cuda
