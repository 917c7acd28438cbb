#include "kernels/cuda/dense_attention/job_queue.h"

#include <algorithm>

#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/dense_attention/fused_attention.h"

namespace psagen::kernels::cuda {
namespace {

// A part costs about two tiles more than a part of the job.
constexpr int kMostParts = 4;
constexpr int kLeastTiles = 6 * kMostParts;

int parts_of(int others, int multiprocessors, int tiles) {
  if (others == 0 || tiles < kLeastTiles) return 1;
  return std::clamp(multiprocessors / others, 1, kMostParts);
}

}  // namespace

JobQueue make_job_queue(CudaRuntime& runtime, Workspace::Scope& scope, int jobs, int tiles,
                        int vectors) {
  int others = jobs % runtime.multiprocessors();
  JobQueue queue;
  queue.parts = parts_of(others, runtime.multiprocessors(), tiles);
  if (queue.parts == 1) others = 0;
  queue.whole = jobs - others;
  queue.numbers = queue.whole + queue.parts * others;

  const auto counters = static_cast<std::size_t>(1 + kFusedWarpgroups * others);
  queue.next = scope.take<int>(counters);
  queue.arrived = queue.next + 1;
  if (others > 0)
    queue.sums = scope.take<float4>(
        static_cast<std::size_t>(others) *
        static_cast<std::size_t>(queue.parts * kFusedWarpgroups * vectors * 128));
  if (!scope.counts_only())
    PSAGEN_CUDA(cudaMemsetAsync(queue.next, 0, counters * sizeof(int), runtime.stream()));
  return queue;
}

}  // namespace psagen::kernels::cuda
