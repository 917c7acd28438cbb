// Ops over all elements of one or more tensors of the same rows: eight at a time where every tensor
// allows it, else one by one.
#pragma once

#include <algorithm>
#include <span>

#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/device/numeric.cuh"
#include "kernels/cuda/runtime.h"

namespace psagen::kernels::cuda {

// The tensors of such an op, all of one shape: whether they can be taken as one long row, and in
// whole chunks.
class ElementRows {
 public:
  static constexpr int kChunk = 8;  // elements: 16 bytes of a 16-bit type

  // `keep_rows`: the op itself tells rows apart.
  explicit ElementRows(std::span<const ConstTensorView> views, bool keep_rows = false)
      : flat_(!keep_rows) {
    for (const ConstTensorView& view : views) flat_ = flat_ && view.is_contiguous();
    for (const ConstTensorView& view : views)
      aligned_ = aligned_ && has_aligned_chunks(view, shape(view), kChunk);
  }

  RowShape shape(const ConstTensorView& view) const {
    return flat_ ? flat_row_shape(view) : row_shape(view);
  }
  bool aligned() const { return aligned_; }

 private:
  bool flat_;
  bool aligned_ = true;
};

constexpr int kElementThreads = 256;

// Each thread takes chunks of one row after the other; the tail of a row goes one by one.
template <int kChunk, typename Op>
__global__ void __launch_bounds__(kElementThreads)
    element_kernel(const Op op, const std::int64_t rows, const std::int64_t width) {
  const std::int64_t first =
      (static_cast<std::int64_t>(blockIdx.x) * kElementThreads + threadIdx.x) * kChunk;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kElementThreads * kChunk;
  for (std::int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    for (std::int64_t i = first; i < width; i += step) {
      if (kChunk == 1 || i + kChunk <= width) {
        op.template apply<kChunk>(row, i);
      } else {
        for (std::int64_t j = i; j < width; ++j) op.template apply<1>(row, j);
      }
    }
  }
}

// op.apply<N>(row, i) does elements [i, i + N) of a row.
template <typename Op>
void launch_elements(CudaRuntime& runtime, const Op& op, const RowShape& shape, bool aligned) {
  if (shape.num_rows() * shape.width == 0) return;
  const std::int64_t chunk = aligned ? ElementRows::kChunk : 1;
  const std::int64_t per_block = kElementThreads * chunk;
  const std::int64_t across =
      std::min<std::int64_t>((shape.width + per_block - 1) / per_block, 1 << 20);
  const dim3 grid(static_cast<unsigned>(across),
                  static_cast<unsigned>(std::min<std::int64_t>(shape.num_rows(), 65535)));
  const cudaStream_t stream = runtime.stream();
  if (aligned)
    element_kernel<ElementRows::kChunk>
        <<<grid, kElementThreads, 0, stream>>>(op, shape.num_rows(), shape.width);
  else
    element_kernel<1><<<grid, kElementThreads, 0, stream>>>(op, shape.num_rows(), shape.width);
  PSAGEN_CUDA(cudaGetLastError());
}

}  // namespace psagen::kernels::cuda
