#include "kernels/cuda/dense_attention/tensor_maps.h"

#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/dense_attention/hopper_traits.h"

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

}  // namespace

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

}  // namespace psagen::kernels::cuda
