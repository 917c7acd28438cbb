// Scores by mma.sync, and which kernel makes them.
#include "kernels/cuda/device/mma.cuh"
#include "kernels/cuda/psa/block_scores_kernel.cuh"

namespace psagen::kernels::cuda {
namespace {

template <typename T, int kDepth>
struct TileProduct<T, kDepth, false> {
  float sums[2][4 * kMatrices];
  // Of the tile, of step 0 and the first pair of matrices, in bytes.
  std::uint32_t lane_offset =
      16 * Tile<kDepth, false>::chunk_at(block_scores::lane_place(threadIdx.x % 32, 0),
                                         block_scores::lane_chunk(threadIdx.x % 32, 0));

  __device__ void start(const Means<T, kDepth>& means, std::uint32_t tile) {
#pragma unroll
    for (int part = 0; part < 2; ++part)
#pragma unroll
      for (float& sum : sums[part]) sum = 0.0f;
#pragma unroll
    for (int step = 0; step < kDepth / 16; ++step) {
      const std::uint32_t address = tile + (lane_offset ^ (16 * block_scores::lane_chunk(0, step)));
#pragma unroll
      for (int pair = 0; pair < kMatrices / 2; ++pair) {
        std::uint32_t keys[4];
        load_matrices(keys, address + 2 * kDepth * block_scores::lane_place(0, pair));
#pragma unroll
        for (int part = 0; part < 2; ++part) {
          float* const of_pair = sums[part] + 8 * pair;
          multiply_add<T>(of_pair, means.values[part][step], keys[0], keys[1]);
          multiply_add<T>(of_pair + 4, means.values[part][step], keys[2], keys[3]);
        }
      }
    }
  }
  __device__ void see_copies() const {}
  __device__ void wait(int) const {}
};

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
  if (runtime.use_hopper_kernels()) return hopper_block_scores(runtime, p, out.heads);
  launch<false>(runtime, p, out.heads);
}

}  // namespace psagen::kernels::cuda
