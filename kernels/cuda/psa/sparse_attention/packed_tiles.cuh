// Sparse attention's tiles on Hopper (../../dense_attention/hopper_consumer.cuh): 128 columns of
// the packed row of a query block, each block of keys a box of a tensor map.
//
// Three warps work ahead of the computing warpgroups. One takes a query block from the counter,
// sums up its columns, announces it and loads its queries; two go over its levels, pack tiles and
// queue their boxes, one of keys and one of values, a lane a piece: up to 32 pieces of 4 rows and
// more. The swizzle is a function of the shared address, so a piece may begin at any row of a tile.
//
// log2 of the tokens a column stands for is added to its score in powers of two. A tile of one
// level has one such number, which costs nothing; else (levels meet, the last block is part-filled
// or the tile is) there is one for each column in shared memory, -inf for columns that are not
// there. Those hold zeros, keys and values alike: a box past the end of its tensor.
#pragma once

#include "kernels/cuda/dense_attention/hopper_consumer.cuh"
#include "kernels/cuda/psa/sparse_attention/hopper_sparse_params.h"
#include "kernels/cuda/psa/sparse_attention/level_walk.cuh"

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

  struct PackedTile {
    Piece own;    // this lane's
    float shift;  // of its scores, or kColumnWeights
  };

  // Warps of the first warpgroup.
  enum Role { kKeys, kValues, kJobs };

  // Notes on tile t are written when the slot of its keys is empty: of five slots, when the values
  // of t - 4 were given back, of ten, the keys of t - 5. The softmax of t - 4, or t - 6, is over
  // then.
  static constexpr int kWeightSlots = kRowBytes == 256 ? 4 : 8;
  static_assert(kWeightSlots >= Traits::kSlots / 2 + 2);

  struct Shared {
    Piece pieces[2][32];  // of the tile being packed, for keys and for values
    float shift[kWeightSlots];
    alignas(16) float weights[kWeightSlots][kColumns];
  };
  static constexpr int kJobReaders = 4 * Traits::kConsumers + 2;
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
    if (warp == kKeys) load_jobs<kKeys>(params, shared, lane);
    if (warp == kValues) load_jobs<kValues>(params, shared, lane);
    if (warp == kJobs) announce_jobs(params, shared, lane);
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

  // By one warp for keys, by another for values. Each packs the tiles for itself: to hand them over
  // would cost as much, and one warp for both was too slow for the computing side.
  template <Role kRole, typename BlockShared>
  static __device__ void load_jobs(const Params& params, BlockShared& shared, int lane) {
    RingPlace<2> turn;
    TilePlace<Traits::kSlots> place;
    for (;; ++turn.count) {
      const std::uint32_t slot = turn.slot();
      wait_barrier(&shared.job_ring.full[slot], turn.parity());
      const AnnouncedJob next = shared.jobs[slot];
      __syncwarp();
      if (lane == 0) arrive(&shared.job_ring.empty[slot]);
      if (next.row < 0) return;
      const FusedJob job(params.problem, next.row);
      LevelWalk walk(params.blocks, next.row, lane);
      const int tiles = next.end - next.first;
#pragma unroll 1
      for (int tile = -next.first; tile < tiles; ++tile) {
        const PackedTile packed = pack(params.blocks, shared.notes.pieces[kRole], walk);
        if (tile < 0) continue;  // another part's
        const RingSlot own = kRole == kKeys ? place.keys : place.values();
        wait_barrier(&shared.tile_ring.empty[own.slot()], own.parity() ^ 1);
        if constexpr (kRole == kKeys)
          write_notes(params, shared.notes, packed, lane, place.count % kWeightSlots);
        load_piece(params.blocks, shared, own.slot(), kRole == kKeys ? params.k : params.v,
                   packed.own, job);
        place = place.next();
      }
    }
  }

  // Takes blocks off the walk until a tile is full or the row at its end.
  static __device__ PackedTile pack(const BlockLevels& blocks, Piece (&pieces)[32],
                                    LevelWalk& walk) {
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
        pieces[count + rank] = {blocks.first_row(walk.level_index, block),
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
        pieces[count] = {blocks.absent_row, static_cast<std::int16_t>(columns),
                         static_cast<std::uint8_t>(i), 0};
      ++count;
      columns += rows;
    }
    __syncwarp();
    return {lane < count ? pieces[lane] : Piece{0, -1, 0, 0},
            alike ? static_cast<float>(level) : kColumnWeights};
  }

  // What the computing side is told of a tile: its shift, or the weights of its columns.
  static __device__ void write_notes(const Params& params, Shared& notes, const PackedTile& packed,
                                     int lane, std::uint32_t slot) {
    if (packed.shift == kColumnWeights) write_weights(params, notes, packed.own, lane, slot);
    if (lane == 0) notes.shift[slot] = packed.shift;
  }

  // Four columns a lane, which are of one piece.
  static __device__ void write_weights(const Params& params, Shared& notes, const Piece& own,
                                       int lane, std::uint32_t slot) {
    const std::uint32_t begins =
        __reduce_or_sync(kAllLanes, own.column < 0 ? 0u : 1u << (own.column / 4));
    const Piece piece = notes.pieces[kKeys][__popc(begins & ((2u << lane) - 1)) - 1];
    float weights[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int tokens = row_tokens(piece.tokens, piece.level_index, 4 * lane - piece.column + i);
      weights[i] = tokens == 0 ? minus_infinity()
                               : log2f(static_cast<float>(tokens)) * params.inverse_scale_log2;
    }
    *reinterpret_cast<float4*>(notes.weights[slot] + 4 * lane) =
        make_float4(weights[0], weights[1], weights[2], weights[3]);
  }

  // Queues the copy of this lane's piece.
  template <typename BlockShared>
  static __device__ void load_piece(const BlockLevels& blocks, BlockShared& shared,
                                    std::uint32_t slot, const CUtensorMap (&maps)[kLevels],
                                    const Piece& piece, const FusedJob& job) {
    std::uint64_t* const full = &shared.tile_ring.full[slot];
    // Each lane for itself: its arrival publishes what it wrote of the notes.
    if (piece.column < 0) return arrive(full);
    arrive_expecting(full, kRowBytes << blocks.log2_rows(piece.level_index));
#pragma unroll
    for (int box = 0; box < Traits::kBoxes; ++box)
      load_box(shared.tiles[slot].bytes + box * Traits::kBoxBytes + piece.column * kBoxColumns * 2,
               maps[piece.level_index], full, box * kBoxColumns, piece.row, job.head, job.batch);
  }
};

}  // namespace psagen::kernels::cuda
