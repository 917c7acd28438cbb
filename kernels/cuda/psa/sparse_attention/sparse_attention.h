// Attention of each query block to the key blocks that its row of levels names, each at its level:
// the Hopper kernel, the portable kernel, or a warp a query where neither takes the call.
#pragma once

#include "kernels/core/allocator.h"
#include "kernels/cuda/runtime.h"
#include "kernels/psa/psa_args.h"

namespace psagen::kernels::cuda {

void sparse_attention(CudaRuntime& runtime, Workspace& workspace, const SparseAttentionArgs& args);

}  // namespace psagen::kernels::cuda
