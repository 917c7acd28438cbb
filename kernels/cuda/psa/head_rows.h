// A [B, L, N, D] tensor as kernels take it: where the row of a token of a head begins.
#pragma once

#include <cstdint>

#include "kernels/core/error.h"
#include "kernels/core/tensor.h"

namespace psagen::kernels::cuda {

struct HeadRows {
  const void* data = nullptr;
  std::int64_t batch_stride = 0, token_stride = 0, head_stride = 0;  // in elements

  constexpr std::int64_t offset(std::int64_t batch, std::int64_t token, std::int64_t head) const {
    return batch * batch_stride + token * token_stride + head * head_stride;
  }
};

// Eight elements of a row, from a multiple of eight on, are one access of 16 bytes, or two.
inline constexpr int kHeadChunk = 8;

// Throws where the rows of `x` do not begin on multiples of 16 bytes.
inline HeadRows head_rows(const char* op, const char* name, const ConstTensorView& x) {
  const std::int64_t per_access = 16 / static_cast<std::int64_t>(dtype_size(x.dtype()));
  bool aligned = reinterpret_cast<std::uintptr_t>(x.bytes()) % 16 == 0;
  for (int axis = 0; axis < 3; ++axis)
    aligned = aligned && (x.dim(axis) <= 1 || x.stride(axis) % per_access == 0);
  PSAGEN_CHECK(aligned, ErrorCode::kUnsupported, op, ": ", name, " of shape ", x.shape(),
               " has strides of ", x.stride(0), ", ", x.stride(1), ", ", x.stride(2),
               " elements, wanted rows on multiples of 16 bytes");
  return {x.bytes(), x.stride(0), x.stride(1), x.stride(2)};
}

}  // namespace psagen::kernels::cuda
