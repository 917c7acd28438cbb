// What comes before sparse attention on the GPU: the pyramid, and which blocks to attend to.
#pragma once

#include "kernels/core/allocator.h"
#include "kernels/cuda/runtime.h"
#include "kernels/psa/psa_args.h"

namespace psagen::kernels::cuda {

void pool_pyramid(CudaRuntime& runtime, const BuildPyramidArgs& args);
void select_blocks(CudaRuntime& runtime, Workspace& workspace, const SelectBlocksArgs& args);

}  // namespace psagen::kernels::cuda
