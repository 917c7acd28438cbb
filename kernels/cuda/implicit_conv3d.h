// Convolutions by kernels of our own, as matrix products whose left matrix is never laid out.
#pragma once

#include "kernels/cuda/device_views.h"
#include "kernels/cuda/runtime.h"

namespace psagen::kernels::cuda {

// One call in plain values: y = conv(context ++ x) + bias + residual, frames of x doubled first
// with `upsample`; zeros outside of a frame and before the first, which is context's where it is
// given.
struct ConvolutionProblem {
  const void* x = nullptr;        // [frames, height, width, in_channels]
  const void* context = nullptr;  // [kernel_t - 1, height, width, in_channels], optional
  const void* weight = nullptr;   // [out_channels, kernel_t, kernel_s, kernel_s, stored_channels]
  DType dtype = DType::kBF16;     // of these three
  const float* bias = nullptr;    // [out_channels]
  ConstReals residual{};          // as y, optional; may be y
  Reals y{};                      // [frames, out_height(), out_width(), out_channels]
  int frames = 0, height = 0, width = 0;
  int in_channels = 0, out_channels = 0;
  int stored_channels = 0;  // in_channels and zeros, to a multiple of 8
  int kernel_t = 1, kernel_s = 1;
  bool upsample = false;

  constexpr int out_height() const { return upsample ? 2 * height : height; }
  constexpr int out_width() const { return upsample ? 2 * width : width; }
};

// By tensor cores (mma.sync): BF16 and F16, kernels of 1 or 3 pixels a side.
bool implicit_conv3d_takes(const ConvolutionProblem& problem);
void implicit_conv3d(CudaRuntime& runtime, const ConvolutionProblem& problem);

// Any type and kernel in float32 arithmetic, on the ordinary cores.
void direct_conv3d(CudaRuntime& runtime, const ConvolutionProblem& problem);

// [Co, Ci, kt, k, k] of any real type -> [Co, kt, k, k, stored] of y's type, zeros behind Ci.
void pack_filters(CudaRuntime& runtime, ConstTensorView weight, TensorView y);

}  // namespace psagen::kernels::cuda
