// What the loading side of the Hopper kernels shares, wherever its tiles come from: the barriers'
// beginnings, and copies of whole tiles and of queries (hopper_consumer.cuh has the picture).
#pragma once

#include "kernels/cuda/dense_attention/fused_job.cuh"
#include "kernels/cuda/dense_attention/hopper_traits.h"
#include "kernels/cuda/dense_attention/tile_ring.cuh"
#include "kernels/cuda/device/hopper.cuh"

namespace psagen::kernels::cuda {

template <typename Traits, typename Tiles>
__device__ inline void init_barriers(HopperShared<Traits, Tiles>& shared) {
  for (int i = 0; i < 2; ++i) {
    init_barrier(&shared.job_ring.full[i], 1);
    init_barrier(&shared.job_ring.empty[i], Tiles::kJobReaders);
    init_barrier(&shared.query_ring.full[i], 1);
    init_barrier(&shared.query_ring.empty[i], 4 * Traits::kConsumers);  // a lane of each warp
  }
  for (int i = 0; i < Traits::kSlots; ++i) {
    init_barrier(&shared.tile_ring.full[i], Tiles::kLoaders);
    init_barrier(&shared.tile_ring.empty[i], Traits::kConsumers);
  }
  fence_barrier_init();
  skip_first_values(shared.tile_ring, Tiles::kLoaders, Traits::kConsumers);
}

// By a warp, for all its lanes: the announced job, whose slot is given back.
template <typename BlockShared>
__device__ inline AnnouncedJob take_job(BlockShared& shared, std::uint32_t slot, int lane) {
  AnnouncedJob job;
  if (lane == 0) {
    job = shared.jobs[slot];
    arrive(&shared.job_ring.empty[slot]);
  }
  // By shuffle: what it decides is known to be the same for a warp.
  job.row = __shfl_sync(0xffffffffu, job.row, 0);
  job.first = __shfl_sync(0xffffffffu, job.first, 0);
  job.end = __shfl_sync(0xffffffffu, job.end, 0);
  job.piece = __shfl_sync(0xffffffffu, job.piece, 0);
  return job;
}

// Once the slot is empty, queues the copy of 128 rows from `row` on; `policy`: of L2, optional.
template <typename Traits, typename Tile, typename Ring, int kSlots, typename Place,
          typename... Policy>
__device__ inline void load_tile(Tile (&tiles)[kSlots], Ring& ring, Place place,
                                 const CUtensorMap& map, int row, const FusedJob& job,
                                 Policy... policy) {
  const std::uint32_t slot = place.slot();
  wait_barrier(&ring.empty[slot], place.parity() ^ 1);
  arrive_expecting(&ring.full[slot], Traits::kTileBytes);
#pragma unroll
  for (int box = 0; box < Traits::kBoxes; ++box)
    load_box(tiles[slot].bytes + box * Traits::kBoxBytes, map, &ring.full[slot], box * kBoxColumns,
             row, job.head, job.batch, policy...);
}

template <typename Traits, typename Tiles>
__device__ inline void load_queries(HopperShared<Traits, Tiles>& shared, RingPlace<2> turn,
                                    const CUtensorMap& map, const FusedJob& job) {
  if constexpr (Tiles::kSparesL2)
    load_tile<Traits>(shared.queries, shared.query_ring, turn, map, job.query, job, evict_first());
  else
    load_tile<Traits>(shared.queries, shared.query_ring, turn, map, job.query, job);
}

}  // namespace psagen::kernels::cuda
