// Attention for what the fused kernels do not take: products by cuBLASLt, scores in memory.
#pragma once

#include "kernels/core/allocator.h"
#include "kernels/cuda/linear.h"
#include "kernels/cuda/runtime.h"
#include "kernels/ops.h"

namespace psagen::kernels::cuda {

// Any head dimension, types, strides, scale and bias.
void product_attention(CudaRuntime& runtime, Workspace& workspace, LinearPlans& plans,
                       const AttentionArgs& args);

}  // namespace psagen::kernels::cuda
