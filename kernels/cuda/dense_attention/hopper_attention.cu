// Tensor maps and launch of the Hopper kernel.
#include <algorithm>
#include <type_traits>

#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/dense_attention/fused_attention.h"
#include "kernels/cuda/dense_attention/hopper_kernel.cuh"

namespace psagen::kernels::cuda {
namespace {

// The driver's function, looked up at run time: the program must start where there is no driver.
auto tensor_map_encoder() {
  using Encode = decltype(&cuTensorMapEncodeTiled);
  static const Encode encode = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult found{};
    PSAGEN_CUDA(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                                 cudaEnableDefault, &found));
    PSAGEN_CHECK(found == cudaDriverEntryPointSuccess && function != nullptr, ErrorCode::kDevice,
                 "the GPU driver has no cuTensorMapEncodeTiled, it is too old");
    return reinterpret_cast<Encode>(function);
  }();
  return encode;
}

// A view [B, L, N, D] as boxes of kBoxColumns x `rows` elements of a head.
CUtensorMap head_boxes(const ConstTensorView& view, int rows) {
  const auto extent = [&](int axis) { return static_cast<cuuint64_t>(view.dim(axis)); };
  // The stride of a dimension of one element is never used, but checked.
  const auto stride = [&](int axis) {
    return static_cast<cuuint64_t>(view.dim(axis) > 1 ? view.stride(axis) : view.dim(3)) * 2;
  };
  const cuuint64_t extents[4] = {extent(3), extent(1), extent(2), extent(0)};
  const cuuint64_t strides[3] = {stride(1), stride(2), stride(0)};  // in bytes
  const cuuint32_t box[4] = {kBoxColumns, static_cast<cuuint32_t>(rows), 1, 1};
  const cuuint32_t steps[4] = {1, 1, 1, 1};
  CUtensorMap map;
  const CUresult status =
      tensor_map_encoder()(&map,
                           view.dtype() == DType::kBF16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                                                        : CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
                           4, const_cast<std::byte*>(view.bytes()), extents, strides, box, steps,
                           CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                           CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  PSAGEN_CHECK(status == CUDA_SUCCESS, ErrorCode::kDevice,
               "cuTensorMapEncodeTiled fails with status ", static_cast<int>(status),
               " for a tensor of shape ", view.shape());
  return map;
}

template <typename Traits>
void launch(CudaRuntime& runtime, const HopperParams& params) {
  constexpr int kSharedBytes = sizeof(HopperShared<Traits>);
  static_assert(kSharedBytes <= 232448, "what a block may have");
  const auto kernel = hopper_attention_kernel<Traits>;
  PSAGEN_CUDA(
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes));
  const int blocks = std::min(params.problem.jobs, runtime.multiprocessors());
  kernel<<<blocks, Traits::kThreads, kSharedBytes, runtime.stream()>>>(params);
  PSAGEN_CUDA(cudaGetLastError());
}

template <typename S, typename T, int kHeadDim>
void launch(CudaRuntime& runtime, const HopperParams& params) {
  if (params.problem.log_weight != nullptr)
    return launch<HopperTraits<S, T, kHeadDim, true>>(runtime, params);
  launch<HopperTraits<S, T, kHeadDim, false>>(runtime, params);
}

template <typename S, typename T>
void launch_of_types(CudaRuntime& runtime, const HopperParams& params, std::int64_t head_dim) {
  if (head_dim == 64) return launch<S, T, 64>(runtime, params);
  launch<S, T, 128>(runtime, params);
}

}  // namespace

void hopper_attention(CudaRuntime& runtime, Workspace& workspace, const AttentionArgs& args) {
  Workspace::Scope scope(workspace);
  HopperParams params{.q = head_boxes(args.q, kFusedQueries),
                      .k = head_boxes(args.k, 128),
                      .v = head_boxes(args.v, 128),
                      .out = head_boxes(args.out, 16),
                      .problem = fused_problem(args),
                      .next_job = scope.take<int>(1)};
  PSAGEN_CUDA(cudaMemsetAsync(params.next_job, 0, sizeof(int), runtime.stream()));
  for_fused_types(args, [&]<typename S, typename T>(S, T) {
    launch_of_types<S, T>(runtime, params, args.q.dim(3));
  });
}

}  // namespace psagen::kernels::cuda
