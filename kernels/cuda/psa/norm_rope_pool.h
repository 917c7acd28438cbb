// The norm of queries and keys with pooling beside it (RmsNormRopeArgs::pool).
#pragma once

#include "kernels/cuda/runtime.h"
#include "kernels/ops.h"
#include "kernels/psa/psa_args.h"

namespace psagen::kernels::cuda {

bool can_pool_in_norm(DType rows, std::int64_t heads, std::int64_t head_dim, int query_block);
void norm_rope_pool(CudaRuntime& runtime, const RmsNormRopeArgs& args);

}  // namespace psagen::kernels::cuda
