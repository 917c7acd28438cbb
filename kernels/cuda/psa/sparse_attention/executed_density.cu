// How much of dense attention's work was done, from the block levels: a block of threads a head.
// Whole numbers until the last division, so the sum has no order.
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/psa/sparse_attention/level_walk.cuh"
#include "kernels/cuda/psa/sparse_attention/sparse_ways.h"

namespace psagen::kernels::cuda {
namespace {

constexpr int kThreads = 1024;

__global__ void __launch_bounds__(kThreads)
    executed_density_kernel(const BlockLevels blocks, int query_blocks, int tile_columns,
                            double dense_columns, float* density) {
  __shared__ unsigned long long columns;
  if (threadIdx.x == 0) columns = 0;
  __syncthreads();
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  for (int i = warp; i < query_blocks; i += kThreads / 32) {
    const int row = static_cast<int>(blockIdx.x) * query_blocks + i;
    int count = count_columns(blocks, row, lane);
    if (tile_columns == kNoTiles) {
      const int last = blocks.levels[static_cast<std::int64_t>(row + 1) * blocks.key_blocks - 1];
      if (last != 0)
        count -= ((1 << blocks.log2_key_block) / last) - (blocks.tail_tokens + last - 1) / last;
    }
    count = (count + tile_columns - 1) / tile_columns * tile_columns;
    if (lane == 0) atomicAdd(&columns, static_cast<unsigned long long>(count));
  }
  __syncthreads();
  if (threadIdx.x == 0)
    density[blockIdx.x] = static_cast<float>(static_cast<double>(columns) / dense_columns);
}

}  // namespace

void executed_density(CudaRuntime& runtime, const SparseAttentionArgs& args, int tile_columns) {
  const std::int64_t query_blocks = args.levels.dim(2);
  executed_density_kernel<<<static_cast<unsigned>(args.levels.dim(0) * args.levels.dim(1)),
                            kThreads, 0, runtime.stream()>>>(
      block_levels(args), static_cast<int>(query_blocks), tile_columns,
      static_cast<double>(query_blocks) * static_cast<double>(args.pyramid.shape.num_tokens),
      args.executed_density.data<float>());
  PSAGEN_CUDA(cudaGetLastError());
}

}  // namespace psagen::kernels::cuda
