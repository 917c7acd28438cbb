// Sparse attention's tiles for the portable kernel (../../dense_attention/portable_block.cuh): the
// packed row of a query block, tile by tile.
//
// At its start the block of threads sorts its row of block levels into a list in shared memory, a
// warp a level. While the scores of a tile are computed, one warp works out where the rows of the
// next come from: an address for every four rows, which are always neighbours, and the log2 of the
// tokens each column stands for. A tile of one level has one such number, which costs nothing;
// columns that are not there have -inf and hold zeros.
#pragma once

#include "kernels/cuda/dense_attention/portable_block.cuh"
#include "kernels/cuda/psa/sparse_attention/level_walk.cuh"

namespace psagen::kernels::cuda {

template <typename S, typename T>
struct PortableSparseParams {
  const S* q = nullptr;
  const S* k = nullptr;
  const T* v = nullptr;
  T* out = nullptr;
  HeadStrides q_strides, k_strides, v_strides, out_strides;
  const S* pooled_keys = nullptr;  // [B, N, pooled rows, D]
  const T* pooled_values = nullptr;
  int pooled_rows = 0;
  int k_row_bytes = 0, v_row_bytes = 0;
  FusedProblem problem;
  BlockLevels blocks;
  float inverse_scale_log2 = 1.0f;
};

// Four neighbouring rows of keys or values: the first one's address, a multiple of 16, whether they
// are of the pyramid, and how many of them there are.
struct FourRows {
  static constexpr unsigned kCountMask = 7, kPooled = 8, kFlags = 15;
  unsigned long long bits;

  FourRows() = default;
  __device__ FourRows(const std::byte* first, bool pooled, int count)
      : bits(reinterpret_cast<unsigned long long>(first) | (pooled ? kPooled : 0u) |
             static_cast<unsigned>(count)) {}

  __device__ const std::byte* first() const {
    return reinterpret_cast<const std::byte*>(bits & ~static_cast<unsigned long long>(kFlags));
  }
  __device__ bool pooled() const { return (static_cast<unsigned>(bits) & kPooled) != 0; }
  __device__ int count() const {
    return static_cast<int>(static_cast<unsigned>(bits) & kCountMask);
  }
};

// Behind queries, keys and values in shared memory; the list of key blocks follows it. Of two
// things the first is for keys, the second for values.
template <int kColumns>
struct PackedRowsShared {
  struct Source {
    const std::byte* level_1;  // the head's rows
    const std::byte* pooled;
  };
  Source sources[2];
  int counts[kLevels];  // blocks of each level
  int ends[kLevels];    // columns up to the end of each level
  // Those that one thread copies are neighbours.
  alignas(16) FourRows rows[2][2][kColumns / 4];  // of this tile and the next
  float shift[2];
  alignas(8) float weights[2][kColumns];
  std::uint16_t list[1];
};

template <typename Traits>
struct PackedRows {
  using Element = typename Traits::Element;
  using Params = PortableSparseParams<typename Traits::ScoreElement, Element>;
  static constexpr int kColumns = Traits::kKeys;
  static constexpr int kRowTiles = Traits::kRowTiles;
  using Shared = PackedRowsShared<kColumns>;
  static constexpr float kColumnWeights = -1.0f;  // in the place of a shift
  static_assert(kColumns == 64, "two columns a lane");
  static constexpr int kRowsOfPass = Traits::kThreads / Traits::kPieces;
  static constexpr int kPasses = kColumns / kRowsOfPass;
  static constexpr int kTileBytes = kColumns * Traits::kRowBytes;

  static constexpr int shared_bytes(int key_blocks) {
    return Traits::kSharedBytes + static_cast<int>(sizeof(Shared)) + 2 * key_blocks;
  }

  const Params& params;
  Shared& shared;
  int tile = 0;

  static __device__ int job_of_block(const Params& params) {
    const int number = static_cast<int>(blockIdx.x);
    return params.blocks.order == nullptr ? number : __ldg(params.blocks.order + number);
  }

  static __device__ Shared& shared_part() {
    extern __shared__ __align__(1024) std::byte portable_shared_memory[];
    return *reinterpret_cast<Shared*>(portable_shared_memory + Traits::kSharedBytes);
  }

  __device__ PackedRows(const Params& params, const FusedJob& job, std::uint32_t, std::uint32_t)
      : params(params), shared(shared_part()) {
    const FusedProblem& problem = params.problem;
    if (threadIdx.x == 0) {
      const std::int64_t pooled =
          (static_cast<std::int64_t>(job.batch) * problem.heads + job.head) * params.pooled_rows *
          Traits::kHeadDim;
      const auto bytes = [](const auto* data) { return reinterpret_cast<const std::byte*>(data); };
      shared.sources[0] = {bytes(head_of(params.k, params.k_strides, job)),
                           bytes(params.pooled_keys + pooled)};
      shared.sources[1] = {bytes(head_of(params.v, params.v_strides, job)),
                           bytes(params.pooled_values + pooled)};
    }
    const int row =
        (job.batch * problem.heads + job.head) * problem.query_blocks + job.query / kFusedQueries;
    sort_by_level(row);
    if (threadIdx.x < 32) locate(0);
    __syncthreads();
  }

  __device__ bool has(int ahead) const {
    return (tile + ahead) * kColumns < shared.ends[kLevels - 1];
  }
  __device__ void advance() { ++tile; }
  __device__ void copy_keys(int ahead) {
    copy(shared.rows[(tile + ahead) % 2][0], params.k_row_bytes,
         shared_address(&shared) - 2 * kTileBytes);
  }
  __device__ void copy_values() {
    copy(shared.rows[tile % 2][1], params.v_row_bytes, shared_address(&shared) - kTileBytes);
  }
  // The warps in turn: it is their own time that it costs.
  __device__ void prepare() {
    int thread = static_cast<int>(threadIdx.x);
    keep(thread);
    if (has(1) && thread / 32 == tile % Traits::kWarps) locate(tile + 1);
  }

  template <int kScores>
  __device__ void exponentiate(float (&scores)[kRowTiles][kScores],
                               OnlineSoftmax (&softmax)[kRowTiles],
                               float (&rescale)[kRowTiles][2]) const {
    const float shift = shared.shift[tile % 2];
    if (shift == kColumnWeights) {
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i) add_column_weights(scores[i], shared.weights[tile % 2]);
    }
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i)
      softmax[i].template update_shifted<false, true>(scores[i], params.problem.scale_log2,
                                                      fmaxf(shift, 0.0f), rescale[i]);
  }

 private:
  // Each warp counts the blocks of its level, then lists them behind those of the levels before.
  __device__ void sort_by_level(int row) {
    static_assert(Traits::kWarps == kLevels);
    const BlockLevels& blocks = params.blocks;
    const std::uint8_t* const levels =
        blocks.levels + static_cast<std::int64_t>(row) * blocks.key_blocks;
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
    const auto here = [&](int block) {
      return __ballot_sync(
          kAllLanes, block + lane < blocks.key_blocks && __ldg(levels + block + lane) == 1 << warp);
    };
    int count = 0;
#pragma unroll 4
    for (int block = 0; block < blocks.key_blocks; block += 32) count += __popc(here(block));
    if (lane == 0) shared.counts[warp] = count;
    __syncthreads();
    int begin = 0, end = 0;
    for (int i = 0; i <= warp; ++i) {
      begin += i < warp ? shared.counts[i] : 0;
      end += shared.counts[i] << blocks.log2_rows(i);
    }
    if (lane == 0) shared.ends[warp] = end;
    std::uint16_t* to = shared.list + begin;
    for (int block = 0; block < blocks.key_blocks; block += 32) {
      const std::uint32_t found = here(block);
      if (found >> lane & 1)
        to[__popc(found & ((1u << lane) - 1))] = static_cast<std::uint16_t>(block + lane);
      to += __popc(found);
    }
    __syncthreads();
  }

  // By one warp: four columns two lanes, of which one has the keys and one the values.
  __device__ void locate(int tile) {
    const BlockLevels& blocks = params.blocks;
    int thread = static_cast<int>(threadIdx.x);
    keep(thread);  // as in copy()
    const int lane = thread % 32, slot = tile % 2;
    const int four = lane / 2, part = lane % 2;
    const ColumnSource source = locate_column(blocks, shared.ends, tile * kColumns + 4 * four);
    const int level = source.level_index;
    const std::byte* first = shared.sources[part].level_1;
    int count = 0, tokens = 0;
    bool whole = false;
    if (level < kLevels) {
      int entry = source.entry;
      for (int i = 0; i < level; ++i) entry += shared.counts[i];
      const int block = shared.list[entry];
      const std::int64_t row = blocks.first_row(level, block) + source.row;
      const int row_bytes = part == 0 ? params.k_row_bytes : params.v_row_bytes;
      count = level > 0 ? 4 : max(0, min(4, params.problem.keys - static_cast<int>(row)));
      if (level > 0)
        first = shared.sources[part].pooled + row * Traits::kRowBytes;
      else if (count > 0)
        first += row * row_bytes;
      tokens = blocks.block_tokens(block);
      whole = blocks.is_whole(block);
    }
    constexpr int kThreadsApart = kRowsOfPass / 4;
    shared.rows[slot][part][four % kThreadsApart * kPasses + four / kThreadsApart] =
        FourRows(first, level > 0 && level < kLevels, count);
    const int first_level = __shfl_sync(kAllLanes, level, 0);
    const bool alike = __all_sync(kAllLanes, whole && level == first_level);
    if (lane == 0) shared.shift[slot] = alike ? static_cast<float>(level) : kColumnWeights;
    if (alike) return;
    float weights[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int of_row = row_tokens(tokens, level, source.row + 2 * part + i);
      weights[i] = of_row == 0 ? minus_infinity()
                               : log2f(static_cast<float>(of_row)) * params.inverse_scale_log2;
    }
    *reinterpret_cast<float2*>(shared.weights[slot] + 2 * lane) =
        make_float2(weights[0], weights[1]);
  }

  // Queues a tile's rows; those past the last token become zeros.
  __device__ void copy(const FourRows* rows, int row_bytes, std::uint32_t to) const {
    int thread = static_cast<int>(threadIdx.x);
    keep(thread);  // nothing of this is to stay in registers from tile to tile
    const int row = thread / Traits::kPieces, piece = thread % Traits::kPieces, within = row % 4;
    const auto level_1 = static_cast<unsigned>(within * row_bytes + piece * 16);
    const auto pooled = static_cast<unsigned>(within * Traits::kRowBytes + piece * 16);
    FourRows own[kPasses];
#pragma unroll
    for (int i = 0; i < kPasses; i += 2) {
      const ulonglong2 two = *reinterpret_cast<const ulonglong2*>(rows + row / 4 * kPasses + i);
      own[i].bits = two.x;
      own[i + 1].bits = two.y;
    }
    to += row * Traits::kRowBytes + (piece ^ (row % 8)) * 16;
#pragma unroll
    for (int i = 0; i < kPasses; ++i)
      copy_16_async(to + i * kRowsOfPass * Traits::kRowBytes,
                    own[i].first() + (own[i].pooled() ? pooled : level_1), within < own[i].count());
  }
};

}  // namespace psagen::kernels::cuda
