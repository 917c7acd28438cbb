// One cuBLASLt product, as that library sees it (matrices column by column), and its execution by
// the algorithm that was found for its shape.
#pragma once

#include <cublasLt.h>

#include <cstdint>

#include "kernels/core/allocator.h"
#include "kernels/cuda/linear.h"

namespace psagen::kernels::cuda {

// d = epilogue(alpha op(a) b + c) with op(a) [m, k], b [k, n], c and d [m, n]; sums in float32.
struct MatrixProduct {
  DType dtype = DType::kBF16;    // of a and b
  DType d_dtype = DType::kBF16;  // of c, d and bias
  bool transpose_a = false;      // a is [k, m]
  std::int64_t m = 0, n = 0, k = 0;
  // Between columns, and between the matrices of a batch; in elements.
  std::int64_t a_stride = 0, b_stride = 0, c_stride = 0, d_stride = 0;
  std::int64_t count = 1, a_step = 0, b_step = 0, d_step = 0;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  float alpha = 1.0f;
  const void* a = nullptr;
  const void* b = nullptr;
  const void* c = nullptr;     // optional, only where count is 1; may be d
  const void* bias = nullptr;  // [m], on 16 bytes, where the epilogue adds one
  void* d = nullptr;
};

// Queues the product. False, with nothing queued, where cuBLASLt has no algorithm for it.
bool multiply(LinearPlans& plans, Workspace& workspace, const MatrixProduct& product);

}  // namespace psagen::kernels::cuda
