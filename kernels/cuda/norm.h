// Norms over the last dimension, with what comes right before and after them: one pass over memory.
#pragma once

#include "kernels/cuda/runtime.h"
#include "kernels/ops.h"

namespace psagen::kernels::cuda {

void rms_norm(CudaRuntime& runtime, const RmsNormArgs& args);
void layer_norm(CudaRuntime& runtime, const LayerNormArgs& args);
void residual_norm(CudaRuntime& runtime, const ResidualNormArgs& args);
void rms_norm_rope(CudaRuntime& runtime, const RmsNormRopeArgs& args);
void channel_norm(CudaRuntime& runtime, const ChannelNormArgs& args);

}  // namespace psagen::kernels::cuda
