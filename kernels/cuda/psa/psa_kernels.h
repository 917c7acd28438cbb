// What comes before sparse attention on the GPU: the pyramid, and which blocks to attend to.
#pragma once

#include "kernels/core/allocator.h"
#include "kernels/cuda/runtime.h"
#include "kernels/psa/psa_args.h"

namespace psagen::kernels::cuda {

enum class PyramidPart { kKeys, kValues, kBoth };  // with the keys go weights and caps
void pool_pyramid(cudaStream_t stream, const BuildPyramidArgs& args, PyramidPart part);
void select_blocks(CudaRuntime& runtime, Workspace& workspace, const SelectBlocksArgs& args);

}  // namespace psagen::kernels::cuda
