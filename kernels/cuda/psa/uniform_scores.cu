// Scores that say nothing about the blocks (kernels/psa/uniform_score.h), a thread a pair.
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/psa/block_scores.h"
#include "kernels/psa/uniform_score.h"

namespace psagen::kernels::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads)
    uniform_kernel(const ScoreRows out, int query_blocks, int key_blocks) {
  const std::int64_t pair = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const std::int64_t row = pair / key_blocks;
  const int head = static_cast<int>(row / query_blocks);
  if (head >= out.heads) return;
  out.scores[pair] = uniform_score(static_cast<std::uint32_t>(out.first_head + head),
                                   static_cast<std::uint32_t>(row % query_blocks),
                                   static_cast<std::uint32_t>(pair % key_blocks));
}

}  // namespace

void uniform_scores(CudaRuntime& runtime, const SelectionShape& shape, const ScoreRows& out) {
  const std::int64_t pairs =
      static_cast<std::int64_t>(out.heads) * shape.query_blocks * shape.key_blocks;
  uniform_kernel<<<static_cast<unsigned>((pairs + kThreads - 1) / kThreads), kThreads, 0,
                   runtime.stream()>>>(out, shape.query_blocks, shape.key_blocks);
  PSAGEN_CUDA(cudaGetLastError());
}

}  // namespace psagen::kernels::cuda
