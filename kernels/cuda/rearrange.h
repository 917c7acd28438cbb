// Copies that change layout, type or device.
#pragma once

#include "kernels/cuda/runtime.h"
#include "kernels/ops.h"

namespace psagen::kernels::cuda {

// Any strides and types on the device; to or from contiguous host memory.
void copy(CudaRuntime& runtime, ConstTensorView x, TensorView y);
void patchify(CudaRuntime& runtime, const PatchifyArgs& args);
void unpatchify(CudaRuntime& runtime, const UnpatchifyArgs& args);

// The device part of copy(): both views on the device. Usable on any stream.
void copy_on_device(cudaStream_t stream, ConstTensorView x, TensorView y);

}  // namespace psagen::kernels::cuda
