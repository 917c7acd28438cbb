#include "kernels/cuda/dense_attention/job_queue.h"

#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/runtime.h"

namespace psagen::kernels::cuda {

JobQueue make_job_queue(CudaRuntime& runtime, Workspace::Scope& scope, int jobs, int tiles,
                        int head_dim, int besides) {
  JobQueue queue = plan_jobs(jobs, runtime.multiprocessors(), tiles, runtime.is_deterministic());
  const auto others = static_cast<std::size_t>(queue.others());
  const std::size_t own = 1 + kFusedWarpgroups * others;
  const std::size_t counters = own + static_cast<std::size_t>(besides);
  queue.next = scope.take<int>(counters);
  queue.arrived = queue.next + 1;
  queue.besides = queue.next + own;
  if (others > 0)
    queue.sums =
        scope.take<float>(others * static_cast<std::size_t>(queue.parts * kFusedWarpgroups *
                                                            part_vectors(head_dim) * 4 * 128));
  if (!scope.counts_only())
    PSAGEN_CUDA(cudaMemsetAsync(queue.next, 0, counters * sizeof(int), runtime.stream()));
  return queue;
}

}  // namespace psagen::kernels::cuda
