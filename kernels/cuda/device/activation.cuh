// An activation known at run time: a branch that all threads take alike.
#pragma once

#include "kernels/cuda/device/numeric.cuh"
#include "kernels/ops.h"

namespace psagen::kernels::cuda {

__device__ inline float activated(float value, Activation activation) {
  if (activation == Activation::kGeluTanh) return gelu_tanh(value);
  if (activation == Activation::kSilu) return silu(value);
  return value;
}

}  // namespace psagen::kernels::cuda
