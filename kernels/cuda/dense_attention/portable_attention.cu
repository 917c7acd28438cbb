// Launch of the portable kernel.
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/dense_attention/fused_attention.h"
#include "kernels/cuda/dense_attention/portable_kernel.cuh"

namespace psagen::kernels::cuda {
namespace {

HeadStrides head_strides(const ConstTensorView& view) {
  return {view.stride(0), view.stride(1), view.stride(2)};
}

template <typename Traits, bool kKeyWeights>
void launch(CudaRuntime& runtime,
            const PortableParams<typename Traits::ScoreElement, typename Traits::Element>& params) {
  const auto kernel = portable_attention_kernel<Traits, DenseRows<Traits, kKeyWeights>>;
  PSAGEN_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   Traits::kSharedBytes));
  kernel<<<params.problem.jobs, Traits::kThreads, Traits::kSharedBytes, runtime.stream()>>>(params);
  PSAGEN_CUDA(cudaGetLastError());
}

template <typename S, typename T, int kHeadDim>
void launch(CudaRuntime& runtime, const PortableParams<S, T>& params) {
  if (params.problem.log_weight != nullptr)
    return launch<PortableTraits<S, T, kHeadDim, 64>, true>(runtime, params);
  launch<PortableTraits<S, T, kHeadDim, kHeadDim == 64 ? 128 : 64>, false>(runtime, params);
}

template <typename S, typename T>
void launch_of_types(CudaRuntime& runtime, const AttentionArgs& args) {
  const PortableParams<S, T> params{.q = reinterpret_cast<const S*>(args.q.bytes()),
                                    .k = reinterpret_cast<const S*>(args.k.bytes()),
                                    .v = reinterpret_cast<const T*>(args.v.bytes()),
                                    .out = reinterpret_cast<T*>(args.out.bytes()),
                                    .q_strides = head_strides(args.q),
                                    .k_strides = head_strides(args.k),
                                    .v_strides = head_strides(args.v),
                                    .out_strides = head_strides(args.out),
                                    .problem = fused_problem(args)};
  if (args.q.dim(3) == 64) return launch<S, T, 64>(runtime, params);
  launch<S, T, 128>(runtime, params);
}

}  // namespace

void portable_attention(CudaRuntime& runtime, const AttentionArgs& args) {
  for_fused_types(args,
                  [&]<typename S, typename T>(S, T) { launch_of_types<S, T>(runtime, args); });
}

}  // namespace psagen::kernels::cuda
