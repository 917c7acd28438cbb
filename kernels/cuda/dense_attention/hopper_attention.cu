// Launch of the Hopper kernel for dense attention.
#include <algorithm>

#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/dense_attention/fused_attention.h"
#include "kernels/cuda/dense_attention/hopper_kernel.cuh"
#include "kernels/cuda/dense_attention/tensor_maps.h"

namespace psagen::kernels::cuda {
namespace {

template <typename Traits, typename Tiles>
void launch(CudaRuntime& runtime, const HopperParams& params) {
  constexpr int kSharedBytes = sizeof(HopperShared<Traits, Tiles>);
  static_assert(kSharedBytes <= 232448, "what a block may have");
  const auto kernel = hopper_attention_kernel<Traits, Tiles>;
  PSAGEN_CUDA(
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes));
  const int blocks = std::min(params.queue.numbers, runtime.multiprocessors());
  kernel<<<blocks, Traits::kThreads, kSharedBytes, runtime.stream()>>>(params);
  PSAGEN_CUDA(cudaGetLastError());
}

template <typename S, typename T, int kHeadDim>
void launch(CudaRuntime& runtime, const HopperParams& params) {
  using Traits = HopperTraits<S, T, kHeadDim>;
  if (params.problem.log_weight != nullptr)
    return launch<Traits, DenseTiles<Traits, true>>(runtime, params);
  launch<Traits, DenseTiles<Traits, false>>(runtime, params);
}

template <typename S, typename T>
void launch_of_types(CudaRuntime& runtime, const HopperParams& params, std::int64_t head_dim) {
  if (head_dim == 64) return launch<S, T, 64>(runtime, params);
  launch<S, T, 128>(runtime, params);
}

}  // namespace

void hopper_attention(CudaRuntime& runtime, Workspace& workspace, const AttentionArgs& args) {
  Workspace::Scope scope(workspace);
  const FusedProblem problem = fused_problem(args);
  const JobQueue queue = make_job_queue(runtime, scope, problem.jobs, (problem.keys + 127) / 128,
                                        static_cast<int>(args.q.dim(3)));
  if (scope.counts_only()) return;
  const HopperParams params{.q = head_boxes(args.q, kFusedQueries),
                            .k = head_boxes(args.k, 128),
                            .v = head_boxes(args.v, 128),
                            .out = head_boxes(args.out, 16),
                            .problem = problem,
                            .queue = queue};
  for_fused_types(args, [&]<typename S, typename T>(S, T) {
    launch_of_types<S, T>(runtime, params, args.q.dim(3));
  });
}

}  // namespace psagen::kernels::cuda
