// Products of our own: of few rows, and of rows and weights of different types; and what follows a
// product where cuBLASLt's epilogues do not go far enough.
#pragma once

#include "kernels/cuda/device_views.h"
#include "kernels/cuda/runtime.h"
#include "kernels/ops.h"

namespace psagen::kernels::cuda {

// y = activation(x W' + b), or residual + x W' + b. Null data stands for "not given"; strides are
// between rows, in elements.
struct LinearRows {
  std::int64_t rows = 0, depth = 0, columns = 0;
  ConstReals x;  // [rows, depth]
  std::int64_t x_stride = 0;
  ConstReals weight;  // [columns, depth]
  ConstReals bias;    // [columns]
  Activation activation = Activation::kNone;
  ConstReals residual;  // [rows, columns]; may be y
  std::int64_t residual_stride = 0;
  Reals y;  // [rows, columns]
  std::int64_t y_stride = 0;

  // Rows [begin, begin + count).
  LinearRows part(std::int64_t begin, std::int64_t count) const;
};

// Any types, any number of rows; the weights are read once for every eight rows.
void small_linear(CudaRuntime& runtime, const LinearRows& linear);

// Makes y of x W', which stands in `product` (float32, rows `stride` apart; may be y itself).
void finish_linear(CudaRuntime& runtime, const float* product, std::int64_t stride,
                   const LinearRows& linear);

}  // namespace psagen::kernels::cuda
