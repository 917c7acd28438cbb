// Sparse attention's tiles on Hopper (../../dense_attention/hopper_consumer.cuh): 128 columns of
// the packed row of a query block, each block of keys a box of a tensor map.
//
// Two warps work ahead of the computing warpgroups. One takes a query block from the counter, sums
// up its columns and announces it; the other goes over its levels, packs tiles and queues their
// boxes, a lane a piece: up to 32 pieces of 4 rows and more. The swizzle is a function of the
// shared address, so a piece may begin at any row of a tile. The other two make pyramid rows that
// are still missing (pool_ahead.cuh).
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
  static constexpr int kRowBytes = Traits::kTileBytes / kColumns;

  // A key block's part of a tile.
  struct Piece {
    int row;              // of k and v, or of the pyramid
    std::int16_t column;  // -1: no piece
    std::uint8_t level_index;
    std::uint8_t tokens;  // of the block
  };

  // Where column weights lie may be written again when the softmax that read them is done. Before
  // the keys of tile t are queued, the values of t - 2 are, and so those of t - 2 - kStages were
  // given back.
  static constexpr int kWeightSlots = 2 * Traits::kStages;
  static_assert(kWeightSlots >= Traits::kStages + 2);

  struct Shared {
    Piece pieces[32];  // of the tile being packed
    float shift[kWeightSlots];
    alignas(16) float weights[kWeightSlots][kColumns];
  };
  static constexpr int kJobReaders = 4 * Traits::kConsumers + 1;
  static constexpr int kLoaders = 32;
  static constexpr bool kMayBeEmpty = true;
  // Keys, values and pyramid of a head are 31 MB at 32,760 tokens, more than half of L2.
  static constexpr bool kSparesL2 = true;
  static constexpr bool kReadsShared = true;
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
    if (warp == 0) load_jobs(params, shared, lane);
    if (warp == 1) announce_jobs(params, shared, lane);
    if (warp >= 2 && params.pending.chunks > 0)
      pool(params.pending, params.pending.all_chunks(), lane);
  }

  // By the computing warps, which have nothing to do until the first head's rows are there: two
  // warps of each multiprocessor would take 25 us for them.
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
      }
      if (job.row < 0) return;
      wait_barrier(&shared.job_ring.empty[slot], turn.parity());
      if (lane == 0) number = static_cast<int>(gridDim.x) + atomicAdd(params.queue.next, 1);
      number = __shfl_sync(kAllLanes, number, 0);
    }
  }

  template <typename BlockShared>
  static __device__ void load_jobs(const Params& params, BlockShared& shared, int lane) {
    RingPlace<2> turn;
    RingPlace<Traits::kStages> place;  // of keys; values come one tile later
    for (;; ++turn.count) {
      const std::uint32_t slot = turn.slot();
      wait_barrier(&shared.job_ring.full[slot], turn.parity());
      const AnnouncedJob next = shared.jobs[slot];
      __syncwarp();
      if (lane == 0) arrive(&shared.job_ring.empty[slot]);
      if (next.row < 0) return;
      if (params.pending.chunks > 0) fence_global_copies();
      const FusedJob job(params.problem, next.row);
      if (lane == 0) load_queries(shared, turn, params.q, job);
      __syncwarp();

      LevelWalk walk(params.blocks, next.row, lane);
      Piece own, previous;
      const int tiles = next.end - next.first;
#pragma unroll 1
      for (int tile = -next.first; tile < tiles; ++tile) {
        own = pack(params, shared.tiles, walk, place.count % kWeightSlots);
        if (tile < 0) continue;  // another part's
        load_piece(params.blocks, shared.keys, shared.key_ring, place, params.k, own, job);
        if (tile > 0)
          load_piece(params.blocks, shared.values, shared.value_ring, place.previous(), params.v,
                     previous, job);
        previous = own;
        ++place.count;
      }
      if (tiles > 0)
        load_piece(params.blocks, shared.values, shared.value_ring, place.previous(), params.v,
                   previous, job);
    }
  }

  // Takes blocks off the walk until a tile is full or the row at its end; writes the tile's shift
  // or weights. Returns this lane's piece.
  static __device__ Piece pack(const Params& params, Shared& tiles, LevelWalk& walk,
                               std::uint32_t slot) {
    const BlockLevels& blocks = params.blocks;
    const int lane = walk.lane;
    const std::uint32_t lanes_below = (1u << lane) - 1;
    int columns = 0, count = 0, level = -1;
    bool alike = true;
    __syncwarp();  // the pieces of the tile before are read
    while (columns < kColumns && walk.find()) {
      const int log2_rows = blocks.log2_rows(walk.level_index);
      const int rank = __popc(walk.pending & lanes_below);
      const bool takes =
          (walk.pending >> lane & 1) != 0 && rank < (kColumns - columns) >> log2_rows;
      const std::uint32_t taken = __ballot_sync(kAllLanes, takes);
      const int block = walk.block + lane;
      if (takes)
        tiles.pieces[count + rank] = {blocks.first_row(walk.level_index, block),
                                      static_cast<std::int16_t>(columns + (rank << log2_rows)),
                                      static_cast<std::uint8_t>(walk.level_index),
                                      static_cast<std::uint8_t>(blocks.block_tokens(block))};
      alike = alike && (level < 0 || level == walk.level_index) &&
              blocks.is_whole(walk.block + 31 - __clz(static_cast<int>(taken)));
      level = walk.level_index;
      walk.pending &= ~taken;
      count += __popc(taken);
      columns += __popc(taken) << log2_rows;
    }
    alike = alike && columns == kColumns;
    for (int i = 0; columns < kColumns;) {
      const int rows = 1 << blocks.log2_rows(i);
      if (kColumns - columns < rows) {
        ++i;
        continue;
      }
      if (lane == 0)
        tiles.pieces[count] = {blocks.absent_row, static_cast<std::int16_t>(columns),
                               static_cast<std::uint8_t>(i), 0};
      ++count;
      columns += rows;
    }
    __syncwarp();
    const Piece own = lane < count ? tiles.pieces[lane] : Piece{0, -1, 0, 0};
    if (!alike) write_weights(params, tiles, own, lane, slot);
    if (lane == 0) tiles.shift[slot] = alike ? static_cast<float>(level) : kColumnWeights;
    return own;
  }

  // Four columns a lane, which are of one piece.
  static __device__ void write_weights(const Params& params, Shared& tiles, const Piece& own,
                                       int lane, std::uint32_t slot) {
    const std::uint32_t begins =
        __reduce_or_sync(kAllLanes, own.column < 0 ? 0u : 1u << (own.column / 4));
    const Piece piece = tiles.pieces[__popc(begins & ((2u << lane) - 1)) - 1];
    float weights[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int tokens = row_tokens(piece.tokens, piece.level_index, 4 * lane - piece.column + i);
      weights[i] = tokens == 0 ? minus_infinity()
                               : log2f(static_cast<float>(tokens)) * params.inverse_scale_log2;
    }
    *reinterpret_cast<float4*>(tiles.weights[slot] + 4 * lane) =
        make_float4(weights[0], weights[1], weights[2], weights[3]);
  }

  // Once the slot is empty, queues the copy of this lane's piece.
  template <typename Tile, typename Ring, int kSlots>
  static __device__ void load_piece(const BlockLevels& blocks, Tile (&tiles)[kSlots], Ring& ring,
                                    RingPlace<kSlots> place, const CUtensorMap (&maps)[kLevels],
                                    const Piece& piece, const FusedJob& job) {
    const std::uint32_t slot = place.slot();
    wait_barrier(&ring.empty[slot], place.parity() ^ 1);
    // Each lane for itself: its arrival publishes what it wrote of the tile.
    if (piece.column < 0) return arrive(&ring.full[slot]);
    arrive_expecting(&ring.full[slot], kRowBytes << blocks.log2_rows(piece.level_index));
#pragma unroll
    for (int box = 0; box < Traits::kBoxes; ++box)
      load_box(tiles[slot].bytes + box * Traits::kBoxBytes + piece.column * kBoxColumns * 2,
               maps[piece.level_index], &ring.full[slot], box * kBoxColumns, piece.row, job.head,
               job.batch);
  }
};

}  // namespace psagen::kernels::cuda
