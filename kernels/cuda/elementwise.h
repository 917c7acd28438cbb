// Ops that treat every element alike.
#pragma once

#include <span>

#include "kernels/core/allocator.h"
#include "kernels/cuda/runtime.h"
#include "kernels/ops.h"

namespace psagen::kernels::cuda {

void gelu_gate(CudaRuntime& runtime, const GeluGateArgs& args);
void activate(CudaRuntime& runtime, ConstTensorView x, Activation activation, TensorView y);
void embedding(CudaRuntime& runtime, Workspace& workspace, const EmbeddingArgs& args);
void linear_combination(CudaRuntime& runtime, std::span<const LinearTerm> terms, TensorView y);
void to_rgb8(CudaRuntime& runtime, const ToRgb8Args& args);

}  // namespace psagen::kernels::cuda
