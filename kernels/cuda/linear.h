// Matrix products by cuBLASLt, epilogues fused where it has them; a kernel of our own for few rows.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/core/allocator.h"
#include "kernels/cuda/runtime.h"
#include "kernels/ops.h"

namespace psagen::kernels::cuda {

// Algorithms chosen by measurement, one for each shape met, and the descriptors that go with them.
class LinearPlans {
 public:
  explicit LinearPlans(CudaRuntime& runtime);
  ~LinearPlans();

  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

// x and the weight of one type, y of that type or float32 (another type of y costs a pass); any
// types for up to 16 rows. Throws Error(kUnsupported) for more rows of an x that is not of the
// weight's type.
void linear(CudaRuntime& runtime, Workspace& workspace, LinearPlans& plans, const LinearArgs& args);

// Products of row-major matrices, evenly spaced: c[i] = alpha a[i] op(b[i]), all of one type but c,
// which may be float32. Strides in elements.
struct BatchedProduct {
  DType dtype = DType::kBF16;    // of a and b
  DType c_dtype = DType::kBF16;  // of c
  std::int64_t m = 0, n = 0, k = 0;
  bool transpose_b = false;  // b is [n, k]
  double alpha = 1.0;
  const void* a = nullptr;  // [m, k]
  const void* b = nullptr;  // [k, n], or [n, k]
  void* c = nullptr;        // [m, n]
  std::int64_t lda = 0, ldb = 0, ldc = 0;
  std::int64_t count = 1, stride_a = 0, stride_b = 0, stride_c = 0;
};
void batched_product(CudaRuntime& runtime, Workspace& workspace, LinearPlans& plans,
                     const BatchedProduct& product);

}  // namespace psagen::kernels::cuda
