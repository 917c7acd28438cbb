// softmax(scale q k' + bias) v: the Hopper kernel, the portable kernel, or products and a softmax
// of whole rows where the head dimension, the type or a full bias allow neither.
#pragma once

#include "kernels/core/allocator.h"
#include "kernels/cuda/linear.h"
#include "kernels/cuda/runtime.h"
#include "kernels/ops.h"

namespace psagen::kernels::cuda {

void dense_attention(CudaRuntime& runtime, Workspace& workspace, LinearPlans& plans,
                     const AttentionArgs& args);

}  // namespace psagen::kernels::cuda
