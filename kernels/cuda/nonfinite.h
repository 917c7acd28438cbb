// Counts NaN and infinity: one read of the tensor.
#pragma once

#include "kernels/cuda/runtime.h"
#include "kernels/ops.h"

namespace psagen::kernels::cuda {

void count_nonfinite(CudaRuntime& runtime, ConstTensorView x, TensorView counter);

}  // namespace psagen::kernels::cuda
