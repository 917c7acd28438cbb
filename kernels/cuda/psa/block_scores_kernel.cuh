// Pooled queries against the coarsest keys, down to one number for each mean and key block:
//   score = log2 sum over the rows k of the key block of g 2^(q . k)
// where the means q are times scale / ln 2.
//
// Subtracting the mean key, as the CPU does before it multiplies, changes every score of a mean by
// the same number, which the softmax over the row takes out again: here the matrix units do not
// need it, since they multiply the 16-bit rows exactly and sum in float32.
//
// A warp has 32 means in registers and passes over a chunk of the head's level-8 rows, in tiles of
// 64 that the block of four warps copies to shared memory, three tiles deep. See
// block_scores_layout.h for why no score leaves its thread. FLOP: 2 D M R for each head, M = L / 32
// means and R = L / 8 rows; one exponential for each of the M R scores.
#pragma once

#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/device/async_copy.cuh"
#include "kernels/cuda/device/numeric.cuh"
#include "kernels/cuda/device/online_softmax.cuh"
#include "kernels/cuda/psa/block_scores.h"
#include "kernels/cuda/psa/block_scores_layout.h"

namespace psagen::kernels::cuda {

struct ScoreParams {
  const void* means;  // [heads, query blocks, slots, depth]
  ScoredKeys keys;
  SelectionShape shape;
  int first_head;
  int slot_bits;                   // slots = 1 << slot_bits
  int means_of_block, last_means;  // of a query block, of the last one
  int rows;                        // of keys: key blocks x rows of a block
  int full_rows;                   // those of eight tokens
  float* scores;                   // [heads, query blocks, slots, key blocks]
};

// The same by the kernel of compute capability 9.0a (hopper_block_scores.cu).
void hopper_block_scores(CudaRuntime& runtime, const ScoreParams& p, int heads);

namespace {

using block_scores::kRowsOfThread;
using block_scores::kTileRows;

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / 32;
constexpr int kMeansOfWarp = 32;
constexpr int kMeansOfBlock = kWarps * kMeansOfWarp;
constexpr int kStages = 3;
constexpr int kTilesOfChunk = 16;
constexpr int kMatrices = kTileRows / block_scores::kMatrixColumns;

template <int kDepth, bool kHopper>
struct Tile {
  static constexpr int kChunks = kDepth / 8;  // of a row, 16 bytes each
  static constexpr int kBytes = kTileRows * kChunks * 16;
  // Rows lie as ldmatrix reads them best, or in boxes of 64 columns as wgmma does.
  static constexpr int kRowBytes = kHopper ? block_scores::kBoxRowBytes : 2 * kDepth;
  static_assert(kStages * kBytes <= 48 * 1024, "what static shared memory may take");

  static constexpr int chunk_at(int place, int chunk) {
    return kHopper ? block_scores::box_chunk(place, chunk)
                   : block_scores::shared_chunk(place, chunk, kChunks);
  }
};

// The fragments of 32 means, two products high.
template <typename T, int kDepth>
struct Means {
  static constexpr int kSteps = kDepth / 16;
  std::uint32_t values[2][kSteps][4];

  // Means [first, first + 32) of the head's `count`; zeros past the last one.
  __device__ void load(const T* means, int first, int count, int lane) {
    const int g = lane / 4, t = lane % 4;
#pragma unroll
    for (int part = 0; part < 2; ++part)
#pragma unroll
      for (int step = 0; step < kSteps; ++step)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int row = first + 16 * part + g + 8 * (i % 2);
          const int column = 16 * step + 2 * t + 8 * (i / 2);
          values[part][step][i] =
              row < count ? *reinterpret_cast<const std::uint32_t*>(
                                means + static_cast<std::int64_t>(row) * kDepth + column)
                          : 0u;
        }
  }
};

// Eight rows further on the pair of keys is the opposite one, sixteen further on the same.
constexpr bool pairs_alternate() {
  for (int group = 0; group < 16; ++group)
    if (staggered_query(group + 8) / 2 != 3 - staggered_query(group) / 2 ||
        staggered_query(group + 16) != staggered_query(group))
      return false;
  return true;
}

// Where a thread of the block copies from and to: row `row` of the tile and those kRows further on,
// always the same 16 bytes of them.
template <int kDepth, bool kHopper>
struct TileCopy {
  using Place = Tile<kDepth, kHopper>;
  static constexpr int kChunks = Place::kChunks;
  static constexpr int kRows = kThreads / kChunks;  // that the block copies at once
  static_assert(kRows == 8 || kRows == 16);
  int row = static_cast<int>(threadIdx.x) / kChunks;
  int chunk = static_cast<int>(threadIdx.x) % kChunks;
  // Of the first row; from one to the next the place moves on by a constant and the swizzle by an
  // exclusive or: registers for all of them would spill.
  std::uint32_t offset = 16 * Place::chunk_at(block_scores::key_place(row), chunk);

  // Rows [first_row, first_row + kTileRows) of `rows`. `pair`: staggered, that of row `row`.
  template <bool kStaggered, typename T>
  __device__ void start(const T* keys, int first_row, int rows, int pair, int last_row,
                        std::uint32_t tile) const {
    // As ScoredKeys::pyramid_row(): the pairs of a thread's rows are two in turn.
    static_assert(kTileRows % 16 == 0 && pairs_alternate());
    const int own = first_row + row;
#pragma unroll
    for (int i = 0; i < kTileRows / kRows; ++i) {
      int from = own + i * kRows;
      if constexpr (kStaggered)
        from = min(4 * from + (i * kRows / 8 % 2 == 0 ? pair : 3 - pair), last_row);
      const int moved = block_scores::key_place(i * kRows);
      copy_16_async(tile + (offset ^ (16 * (moved % 8))) + moved * Place::kRowBytes,
                    keys + static_cast<std::int64_t>(from) * kDepth + chunk * 8,
                    own + i * kRows < rows);
    }
  }
};

// The products of a tile, by the translation unit that has the kernel. see_copies() stands between
// a thread's copies and the barrier before start(); wait(part) before sums[part] is read, part 0
// first: of the two times 16 means, four sums for each of the tile's matrices of eight columns.
template <typename T, int kDepth, bool kHopper>
struct TileProduct;

// log2 of the sum over kRows neighbouring scores of this thread, the first of them `first`.
template <int kRows>
__device__ inline float log2_sum(const float (&scores)[kRowsOfThread], int first) {
  float max = scores[first];
#pragma unroll
  for (int i = 1; i < kRows; ++i) max = fmaxf(max, scores[first + i]);
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < kRows; ++i) sum += exp2_approx(scores[first + i] - max);
  return max + __log2f(sum);
}

// kRows: level-8 rows of a key block.
template <typename T, int kDepth, int kRows, bool kStaggered, bool kHopper>
__global__ void __launch_bounds__(kThreads, 3) block_scores_kernel(const ScoreParams p) {
  constexpr int kTileBytes = Tile<kDepth, kHopper>::kBytes;
  __shared__ __align__(1024) std::byte memory[kStages * kTileBytes];
  const std::uint32_t shared = shared_address(memory);
  constexpr int kBlocksOfThread = kRowsOfThread / kRows;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int head = static_cast<int>(blockIdx.z);
  const int tiles = (p.rows + kTileRows - 1) / kTileRows;
  const int first_tile = static_cast<int>(blockIdx.x) * kTilesOfChunk;
  const int last_tile = min(first_tile + kTilesOfChunk, tiles);
  const T* const keys = static_cast<const T*>(p.keys.keys) + head * p.keys.head_stride;
  const int slots_of_head = p.shape.query_blocks << p.slot_bits;
  float* const scores_of_head =
      p.scores + static_cast<std::int64_t>(head) * slots_of_head * p.shape.key_blocks;
  const TileCopy<kDepth, kHopper> copy;
  const int pair =
      kStaggered ? staggered_query(p.keys.turn + (p.first_head + head) % 16 + copy.row) / 2 : 0;
#pragma unroll
  for (int stage = 0; stage < kStages - 1; ++stage) {
    if (first_tile + stage < last_tile)
      copy.template start<kStaggered>(keys, (first_tile + stage) * kTileRows, p.rows, pair,
                                      p.keys.last_row, shared + stage * kTileBytes);
    commit_copies();
  }
  const int first_mean = static_cast<int>(blockIdx.y) * kMeansOfBlock + warp * kMeansOfWarp;
  Means<T, kDepth> means;
  means.load(
      static_cast<const T*>(p.means) + static_cast<std::int64_t>(head) * slots_of_head * kDepth,
      first_mean, slots_of_head, lane);
  TileProduct<T, kDepth, kHopper> product;

  for (int tile = first_tile; tile < last_tile; ++tile) {
    wait_for_copies<kStages - 2>();
    product.see_copies();
    __syncthreads();  // the tile is there for all, and the one before it read by all
    if (const int next = tile + kStages - 1; next < last_tile)
      copy.template start<kStaggered>(keys, next * kTileRows, p.rows, pair, p.keys.last_row,
                                      shared + (next - first_tile) % kStages * kTileBytes);
    commit_copies();
    product.start(means, shared + (tile - first_tile) % kStages * kTileBytes);

    const int first_row = tile * kTileRows + lane % 4 * kRowsOfThread;
    const bool full = (tile + 1) * kTileRows <= p.full_rows;
    const int first_block = first_row / kRows;
#pragma unroll
    for (int part = 0; part < 2; ++part) {
      product.wait(part);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float scores[kRowsOfThread];
        float log2_tokens = 3.0f;
#pragma unroll
        for (int i = 0; i < kRowsOfThread; ++i)
          scores[i] = product.sums[part][i / 2 * 4 + 2 * half + i % 2];
        if (!full) {
          // Groups of fewer than eight tokens, and rows without any.
          log2_tokens = 0.0f;
#pragma unroll
          for (int i = 0; i < kRowsOfThread; ++i)
            scores[i] += first_row + i < p.rows ? __ldg(p.keys.log2_weight + first_row + i)
                                                : minus_infinity();
        }
        const int mean = first_mean + lane / 4 + 16 * part + 8 * half;
        const int block = mean >> p.slot_bits, slot = mean - (block << p.slot_bits);
        const bool last = block == p.shape.query_blocks - 1;
        const bool present =
            block < p.shape.query_blocks && slot < (last ? p.last_means : p.means_of_block);
        float* const row =
            scores_of_head + static_cast<std::int64_t>(mean) * p.shape.key_blocks + first_block;
#pragma unroll
        for (int b = 0; b < kBlocksOfThread; ++b) {
          const float value = log2_sum<kRows>(scores, b * kRows) + log2_tokens;
          if (present && first_block + b < p.shape.key_blocks) row[b] = value;
        }
      }
    }
  }
}

template <typename T, int kDepth, int kRows, bool kHopper>
void launch(CudaRuntime& runtime, const ScoreParams& p, int heads) {
  const int tiles = (p.rows + kTileRows - 1) / kTileRows;
  const int means = p.shape.query_blocks << p.slot_bits;
  const dim3 grid(static_cast<unsigned>((tiles + kTilesOfChunk - 1) / kTilesOfChunk),
                  static_cast<unsigned>((means + kMeansOfBlock - 1) / kMeansOfBlock),
                  static_cast<unsigned>(heads));
  const auto kernel = p.keys.staggered ? block_scores_kernel<T, kDepth, kRows, true, kHopper>
                                       : block_scores_kernel<T, kDepth, kRows, false, kHopper>;
  kernel<<<grid, kThreads, 0, runtime.stream()>>>(p);
  PSAGEN_CUDA(cudaGetLastError());
}

template <typename T, int kDepth, bool kHopper>
void launch(CudaRuntime& runtime, const ScoreParams& p, int heads) {
  switch (p.shape.key_block) {
    case 128:
      return launch<T, kDepth, 16, kHopper>(runtime, p, heads);
    case 64:
      return launch<T, kDepth, 8, kHopper>(runtime, p, heads);
    default:
      return launch<T, kDepth, 4, kHopper>(runtime, p, heads);
  }
}

template <typename T, bool kHopper>
void launch(CudaRuntime& runtime, const ScoreParams& p, int heads) {
  if (p.shape.depth == 128) return launch<T, 128, kHopper>(runtime, p, heads);
  launch<T, 64, kHopper>(runtime, p, heads);
}

template <bool kHopper>
void launch(CudaRuntime& runtime, const ScoreParams& p, int heads) {
  if (p.keys.dtype == DType::kBF16) return launch<__nv_bfloat16, kHopper>(runtime, p, heads);
  launch<__half, kHopper>(runtime, p, heads);
}

}  // namespace
}  // namespace psagen::kernels::cuda
