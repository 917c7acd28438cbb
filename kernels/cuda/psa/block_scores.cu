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
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/device/async_copy.cuh"
#include "kernels/cuda/device/mma.cuh"
#include "kernels/cuda/device/numeric.cuh"
#include "kernels/cuda/device/online_softmax.cuh"
#include "kernels/cuda/psa/block_scores.h"
#include "kernels/cuda/psa/block_scores_layout.h"

namespace psagen::kernels::cuda {
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

template <int kDepth>
struct Tile {
  static constexpr int kChunks = kDepth / 8;  // of a row, 16 bytes each
  static constexpr int kBytes = kTileRows * kChunks * 16;
  static_assert(kStages * kBytes <= 48 * 1024, "what static shared memory may take");
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
template <int kDepth>
struct TileCopy {
  static constexpr int kChunks = Tile<kDepth>::kChunks;
  static constexpr int kRows = kThreads / kChunks;  // that the block copies at once
  static_assert(kRows == 8 || kRows == 16);
  int row = static_cast<int>(threadIdx.x) / kChunks;
  int chunk = static_cast<int>(threadIdx.x) % kChunks;
  // Of the first row; from one to the next the place moves on by a constant and the swizzle by an
  // exclusive or: registers for all of them would spill.
  std::uint32_t offset =
      16 * block_scores::shared_chunk(block_scores::key_place(row), chunk, kChunks);

  // Rows [first_row, first_row + kTileRows) of `rows`. `pair`: staggered, that of row `row`.
  template <bool kStaggered, typename T>
  __device__ void start(const T* keys, int first_row, int rows, int pair, int last_row,
                        std::uint32_t tile) const {
    // As ScoredKeys::pyramid_row(): the pairs of a thread's rows are two in turn.
    static_assert(kTileRows % 16 == 0 && pairs_alternate());
    const int own = first_row + row;
#pragma unroll
    for (int i = 0; i < kTileRows / kRows; ++i) {
      constexpr int kRowBytes = 2 * kDepth;
      int from = own + i * kRows;
      if constexpr (kStaggered)
        from = min(4 * from + (i * kRows / 8 % 2 == 0 ? pair : 3 - pair), last_row);
      const int moved = block_scores::key_place(i * kRows);
      copy_16_async(tile + (offset ^ (16 * (moved % 8))) + moved * kRowBytes,
                    keys + static_cast<std::int64_t>(from) * kDepth + chunk * 8,
                    own + i * kRows < rows);
    }
  }
};

// sums[part][matrix] of the two times 16 means and the eight matrices of the tile. `lane_offset` is
// of step 0 and the first pair of matrices, in bytes.
template <typename T, int kDepth>
__device__ inline void multiply_tile(const Means<T, kDepth>& means, std::uint32_t tile,
                                     std::uint32_t lane_offset, float (&sums)[2][kMatrices][4]) {
#pragma unroll
  for (int part = 0; part < 2; ++part)
#pragma unroll
    for (int m = 0; m < kMatrices; ++m)
#pragma unroll
      for (int i = 0; i < 4; ++i) sums[part][m][i] = 0.0f;
#pragma unroll
  for (int step = 0; step < kDepth / 16; ++step) {
    const std::uint32_t address = tile + (lane_offset ^ (16 * block_scores::lane_chunk(0, step)));
#pragma unroll
    for (int pair = 0; pair < kMatrices / 2; ++pair) {
      std::uint32_t keys[4];
      load_matrices(keys, address + 2 * kDepth * block_scores::lane_place(0, pair));
#pragma unroll
      for (int part = 0; part < 2; ++part) {
        multiply_add<T>(sums[part][2 * pair], means.values[part][step], keys[0], keys[1]);
        multiply_add<T>(sums[part][2 * pair + 1], means.values[part][step], keys[2], keys[3]);
      }
    }
  }
}

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
template <typename T, int kDepth, int kRows, bool kStaggered>
__global__ void __launch_bounds__(kThreads, 3) block_scores_kernel(const ScoreParams p) {
  constexpr int kTileBytes = Tile<kDepth>::kBytes;
  __shared__ __align__(128) std::byte memory[kStages * kTileBytes];
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
  const TileCopy<kDepth> copy;
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
  const std::uint32_t lane_offset =
      16 * block_scores::shared_chunk(block_scores::lane_place(lane, 0),
                                      block_scores::lane_chunk(lane, 0), Tile<kDepth>::kChunks);
  Means<T, kDepth> means;
  means.load(
      static_cast<const T*>(p.means) + static_cast<std::int64_t>(head) * slots_of_head * kDepth,
      first_mean, slots_of_head, lane);

  for (int tile = first_tile; tile < last_tile; ++tile) {
    wait_for_copies<kStages - 2>();
    __syncthreads();  // the tile is there for all, and the one before it read by all
    if (const int next = tile + kStages - 1; next < last_tile)
      copy.template start<kStaggered>(keys, next * kTileRows, p.rows, pair, p.keys.last_row,
                                      shared + (next - first_tile) % kStages * kTileBytes);
    commit_copies();
    float sums[2][kMatrices][4];
    multiply_tile<T, kDepth>(means, shared + (tile - first_tile) % kStages * kTileBytes,
                             lane_offset, sums);

    const int first_row = tile * kTileRows + lane % 4 * kRowsOfThread;
    const bool full = (tile + 1) * kTileRows <= p.full_rows;
    const int first_block = first_row / kRows;
#pragma unroll
    for (int part = 0; part < 2; ++part)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float scores[kRowsOfThread];
        float log2_tokens = 3.0f;
#pragma unroll
        for (int i = 0; i < kRowsOfThread; ++i) scores[i] = sums[part][i / 2][2 * half + i % 2];
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

template <typename T, int kDepth, int kRows>
void launch(CudaRuntime& runtime, const ScoreParams& p, int heads) {
  const int tiles = (p.rows + kTileRows - 1) / kTileRows;
  const int means = p.shape.query_blocks << p.slot_bits;
  const dim3 grid(static_cast<unsigned>((tiles + kTilesOfChunk - 1) / kTilesOfChunk),
                  static_cast<unsigned>((means + kMeansOfBlock - 1) / kMeansOfBlock),
                  static_cast<unsigned>(heads));
  const auto kernel = p.keys.staggered ? block_scores_kernel<T, kDepth, kRows, true>
                                       : block_scores_kernel<T, kDepth, kRows, false>;
  kernel<<<grid, kThreads, 0, runtime.stream()>>>(p);
  PSAGEN_CUDA(cudaGetLastError());
}

template <typename T, int kDepth>
void launch(CudaRuntime& runtime, const ScoreParams& p, int heads) {
  switch (p.shape.key_block) {
    case 128:
      return launch<T, kDepth, 16>(runtime, p, heads);
    case 64:
      return launch<T, kDepth, 8>(runtime, p, heads);
    default:
      return launch<T, kDepth, 4>(runtime, p, heads);
  }
}

template <typename T>
void launch(CudaRuntime& runtime, const ScoreParams& p, int heads) {
  if (p.shape.depth == 128) return launch<T, 128>(runtime, p, heads);
  launch<T, 64>(runtime, p, heads);
}

}  // namespace

bool pooled_scores_by_matrix(const SelectionShape& shape, DType dtype) {
  return (dtype == DType::kBF16 || dtype == DType::kF16) &&
         (shape.depth == 64 || shape.depth == 128);
}

void pooled_scores(CudaRuntime& runtime, const SelectionShape& shape, const PooledQueries& queries,
                   const ScoredKeys& keys, const ScoreRows& out) {
  const std::int64_t element = static_cast<std::int64_t>(dtype_size(keys.dtype));
  const std::int64_t head_means =
      static_cast<std::int64_t>(shape.query_blocks) * queries.slots * shape.depth;
  ScoreParams p{};
  p.means = static_cast<const std::byte*>(queries.means) + out.first_head * head_means * element;
  p.keys = keys;
  p.keys.keys =
      static_cast<const std::byte*>(keys.keys) + out.first_head * keys.head_stride * element;
  p.shape = shape;
  p.first_head = out.first_head;
  while (1 << p.slot_bits < queries.slots) ++p.slot_bits;
  p.means_of_block = shape.means_of(0);
  p.last_means = shape.means_of(shape.query_blocks - 1);
  p.rows = shape.key_blocks * (shape.key_block / 8);
  p.full_rows = static_cast<int>(shape.tokens / 8);
  p.scores = out.scores;
  if (keys.dtype == DType::kBF16) return launch<__nv_bfloat16>(runtime, p, out.heads);
  launch<__half>(runtime, p, out.heads);
}

}  // namespace psagen::kernels::cuda
