// Sparse attention's tiles on Hopper (../../dense_attention/hopper_consumer.cuh): 128 columns of
// the packed row of a query block, each block of keys a box of a tensor map.
//
// Four warps work ahead of the computing warpgroups. One takes a query block from the counter, sums
// up its columns, announces it and loads its queries; two go over its levels, pack tiles and queue
// their boxes, one of keys and one of values, each lane those of its blocks, of 4 rows and more.
// The swizzle is a function of the shared address, so a box may begin at any row of a tile. The
// fourth makes pyramid rows that are still missing (pool_ahead.cuh).
//
// log2 of the tokens a column stands for is added to its score in powers of two. A tile of one
// level has one such number, which costs nothing; else (levels meet, the last block is part-filled
// or the tile is) there is one for each column in shared memory, -inf for columns that are not
// there. Those hold zeros, keys and values alike: a box past the end of its tensor.
#pragma once

#include "kernels/cuda/dense_attention/hopper_consumer.cuh"
#include "kernels/cuda/psa/sparse_attention/hopper_sparse_params.h"
#include "kernels/cuda/psa/sparse_attention/level_walk.cuh"
#include "kernels/cuda/psa/sparse_attention/pool_ahead.cuh"

namespace psagen::kernels::cuda {

template <typename Traits>
struct PackedTiles {
  using Params = HopperSparseParams;
  static constexpr int kColumns = Traits::kKeys;

  // How a tile's columns came about: level after level, then those that are not there.
  struct TileColumns {
    int count = 0;
    int first_level = kLevels, last_level = kLevels;  // by index
    int ends[kLevels - 1] = {};                       // of levels 1, 2 and 4
    int tail = 0, tail_end = 0;                       // of the last block, where it is part-filled

    // One number for all scores will do.
    __device__ bool alike() const {
      return count == kColumns && first_level == last_level && tail_end == 0;
    }
    __device__ int level_index(int column) const {
      int index = 0;
#pragma unroll
      for (int i = 0; i < kLevels - 1; ++i) index += column >= ends[i];
      return index;
    }
  };

  // Warps of the first warpgroup.
  enum Role { kKeys, kValues, kJobs, kPooling };

  // Notes on tile t are written when the slot of its keys is empty, which is when the values of
  // t - 4 were given back: its softmax is over then.
  static constexpr int kWeightSlots = 4;
  static_assert(Traits::kSlots == 5);

  struct Shared {
    float shift[kWeightSlots];
    alignas(16) float weights[kWeightSlots][kColumns];
  };
  static constexpr int kJobReaders = 4 * Traits::kConsumers + 2;  // who load keys and values
  static constexpr int kLoaders = 32;
  static constexpr int kProducerRegisters = 88;  // eight rows of 16 bytes on their way to be pooled
  static constexpr int kConsumerRegisters = 208;
  static constexpr bool kMayBeEmpty = true;
  // Keys, values and pyramid of a head are 31 MB at 32,760 tokens, more than half of L2.
  static constexpr bool kSparesL2 = true;
  static constexpr float kColumnWeights = -1.0f;  // in the place of a shift

  // The computing side.
  float tile_shift;

  __device__ void await(const Params&, const FusedJob&, int) const {}
  __device__ void arrived(const Shared& shared, std::uint32_t tile) {
    tile_shift = shared.shift[tile % kWeightSlots];
  }

  template <int kScores>
  __device__ void exponentiate(const Params& params, const Shared& shared, int, std::uint32_t tile,
                               float (&scores)[kScores], OnlineSoftmax& softmax,
                               float (&rescale)[2]) const {
    if (tile_shift == kColumnWeights)
      add_column_weights(scores, shared.weights[tile % kWeightSlots]);
    softmax.template update_shifted<false, true>(scores, params.problem.scale_log2,
                                                 fmaxf(tile_shift, 0.0f), rescale);
  }

  template <typename BlockShared>
  static __device__ void produce(const Params& params, BlockShared& shared) {
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
    if (warp == kKeys) load_jobs<kKeys>(params, shared, lane);
    if (warp == kValues) load_jobs<kValues>(params, shared, lane);
    if (warp == kJobs) announce_jobs(params, shared, lane);
    if (warp == kPooling && params.pending.chunks > 0) pool_heads(params, lane);
  }

  // Rows of a head once query blocks of the head before are worked on, no earlier: they would be
  // out of L2 before they are read, and others with them.
  static __device__ void pool_heads(const Params& params, int lane) {
    for (int head = 0; head < params.pending.all_heads; ++head) {
      const int begun = (head - 1) * params.problem.query_blocks - static_cast<int>(gridDim.x);
      while (load_relaxed(params.queue.next) <= begun) __nanosleep(500);
      pool(params.pending, (head + 1) * params.pending.chunks, lane);
    }
  }

  // By the computing warps, which have nothing to do until the first head's rows are there: a warp
  // of each multiprocessor would take 50 us for them.
  static __device__ void before_first(const Params& params) {
    if (params.pending.chunks > 0)
      pool(params.pending, params.pending.chunks, static_cast<int>(threadIdx.x) % 32);
  }

  static __device__ void pool(const PendingRows& pending, int end, int lane) {
    pool_ahead<typename Traits::ScoreElement, typename Traits::Element, Traits::kHeadDim>(
        pending, end, lane);
  }

  // A job is taken when the one before was read, no earlier: the last jobs then go to whoever is
  // free.
  template <typename BlockShared>
  static __device__ void announce_jobs(const Params& params, BlockShared& shared, int lane) {
    const BlockLevels& blocks = params.blocks;
    int number = static_cast<int>(blockIdx.x);
    for (RingPlace<2> turn;; ++turn.count) {
      const std::uint32_t slot = turn.slot();
      AnnouncedJob job;
      if (number < params.queue.numbers) {
        const int place = params.queue.job(number);
        const int row = blocks.order == nullptr ? place : __ldg(blocks.order + place);
        const int tiles = (count_columns(blocks, row, lane) + kColumns - 1) / kColumns;
        job = announced_job(params.queue, number, row, tiles);
        // Here, a job ahead of the copies that read them.
        if (params.pending.chunks > 0)
          await_rows(params.pending, row / params.problem.query_blocks);
      }
      if (lane == 0) {
        shared.jobs[slot] = job;
        arrive(&shared.job_ring.full[slot]);
        if (job.row >= 0) load_queries(shared, turn, params.q, FusedJob(params.problem, job.row));
      }
      __syncwarp();
      if (job.row < 0) return;
      wait_barrier(&shared.job_ring.empty[slot], turn.parity());
      if (lane == 0) number = static_cast<int>(gridDim.x) + atomicAdd(params.queue.next, 1);
      number = __shfl_sync(kAllLanes, number, 0);
    }
  }

  // By one warp for keys, by another for values. Each goes over the levels for itself: to hand
  // tiles over would cost as much, and one warp for both was too slow for the computing side.
  template <Role kRole, typename BlockShared>
  static __device__ void load_jobs(const Params& params, BlockShared& shared, int lane) {
    RingPlace<2> turn;
    TilePlace<Traits::kSlots> place;
    for (;; ++turn.count) {
      const std::uint32_t slot = turn.slot();
      wait_barrier(&shared.job_ring.full[slot], turn.parity());
      const AnnouncedJob next = take_job(shared, slot, lane);
      if (next.row < 0) return;
      if (params.pending.chunks > 0) fence_global_copies();
      const FusedJob job(params.problem, next.row);
      LevelWalk walk(params.blocks, next.row, lane);
      for (int tile = 0; tile < next.first; ++tile)  // another part's
        pack(params.blocks, walk, [](int, int, int) {});
#pragma unroll 1
      for (int tile = next.first; tile < next.end; ++tile, place = place.next()) {
        const RingSlot own = kRole == kKeys ? place.keys : place.values();
        std::uint64_t* const full = &shared.tile_ring.full[own.slot()];
        std::byte* const bytes = shared.tiles[own.slot()].bytes;
        wait_barrier(&shared.tile_ring.empty[own.slot()], own.parity() ^ 1);
        const auto load = [&](int level_index, int row, int column) {
          const auto& maps = kRole == kKeys ? params.k : params.v;
#pragma unroll
          for (int box = 0; box < Traits::kBoxes; ++box)
            load_box(bytes + box * Traits::kBoxBytes + column * kBoxColumns * 2, maps[level_index],
                     full, box * kBoxColumns, row, job.head, job.batch);
        };
        const TileColumns columns = pack(params.blocks, walk, load);
        if (lane == 0) load_absent(params.blocks, columns.count, load);
        if constexpr (kRole == kKeys)
          write_notes(params, shared.notes, columns, lane, place.count % kWeightSlots);
        // Each lane for itself: its arrival publishes what it wrote of the notes.
        if (lane == 0)
          arrive_expecting(full, Traits::kTileBytes);
        else
          arrive(full);
      }
    }
  }

  // Takes blocks off the walk until a tile is full or the row at its end; load(level index, row,
  // column) by the lane that has the block.
  template <typename Load>
  static __device__ TileColumns pack(const BlockLevels& blocks, LevelWalk& walk, const Load& load) {
    const int lane = walk.lane;
    const std::uint32_t lanes_below = (1u << lane) - 1;
    TileColumns tile;
    while (tile.count < kColumns && walk.find()) {
      const int level_index = walk.level_index, log2_rows = blocks.log2_rows(level_index);
      const int rank = __popc(walk.pending & lanes_below);
      const bool takes =
          (walk.pending >> lane & 1) != 0 && rank < (kColumns - tile.count) >> log2_rows;
      const std::uint32_t taken = __ballot_sync(kAllLanes, takes);
      if (takes)
        load(level_index, blocks.first_row(level_index, walk.block + lane),
             tile.count + (rank << log2_rows));
      __syncwarp();
      walk.pending &= ~taken;
      tile.count += __popc(taken) << log2_rows;
      if (!blocks.is_whole(walk.block + 31 - __clz(static_cast<int>(taken)))) {
        tile.tail = tile.count - (1 << log2_rows);
        tile.tail_end = tile.count;
      }
      tile.first_level = min(tile.first_level, level_index);
      tile.last_level = level_index;
#pragma unroll
      for (int i = 0; i < kLevels - 1; ++i)
        if (level_index <= i) tile.ends[i] = tile.count;
    }
    return tile;
  }

  // Columns from `column` on, which are zeros.
  template <typename Load>
  static __device__ void load_absent(const BlockLevels& blocks, int column, const Load& load) {
    for (int i = 0; column < kColumns;) {
      const int rows = 1 << blocks.log2_rows(i);
      if (kColumns - column < rows) {
        ++i;
        continue;
      }
      load(i, blocks.absent_row, column);
      column += rows;
    }
  }

  // What the computing side is told of a tile: its shift, or the weights of its columns, four a
  // lane.
  static __device__ void write_notes(const Params& params, Shared& notes, const TileColumns& tile,
                                     int lane, std::uint32_t slot) {
    const bool alike = tile.alike();
    if (lane == 0) notes.shift[slot] = alike ? static_cast<float>(tile.last_level) : kColumnWeights;
    if (alike) return;
    float weights[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int column = 4 * lane + i, level_index = tile.level_index(column);
      int tokens = column < tile.count ? 1 << level_index : 0;
      if (column >= tile.tail && column < tile.tail_end)
        tokens = row_tokens(params.blocks.tail_tokens, level_index, column - tile.tail);
      weights[i] = tokens == 0 ? minus_infinity()
                               : log2f(static_cast<float>(tokens)) * params.inverse_scale_log2;
    }
    *reinterpret_cast<float4*>(notes.weights[slot] + 4 * lane) =
        make_float4(weights[0], weights[1], weights[2], weights[3]);
  }
};

}  // namespace psagen::kernels::cuda
