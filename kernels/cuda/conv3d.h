// Causal convolutions, channels last: engines of cuDNN's graph API or kernels of our own.
//
// cuDNN takes 16-bit types and channels in multiples of 8. What it does not take, and everything
// where it is missing, our kernels compute; they also compete with its engines: the first call with
// a layer's shape times a few of both. The frames of a clip seldom lie in one piece: an engine of
// cuDNN needs them so, and gets a copy unless x lies directly behind its context. Doubled frames
// never exist: our kernel reads at half the coordinates. (cuDNN with four kernels of 2 x 2 pixels
// over the frames themselves, 4/9 of the products, writes every second pixel: tried on an H100, it
// took no less time, and 0.5 to 1 s to be made.)
#pragma once

#include "kernels/core/allocator.h"
#include "kernels/core/context.h"
#include "kernels/cuda/runtime.h"
#include "kernels/ops.h"

namespace psagen::kernels::cuda {

class ConvolutionPlans {
 public:
  explicit ConvolutionPlans(CudaRuntime& runtime);
  ~ConvolutionPlans();

  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

std::unique_ptr<PackedConv3d> pack_conv3d(CudaRuntime& runtime, Context& context,
                                          const PackConv3dArgs& args);
void conv3d(CudaRuntime& runtime, Workspace& workspace, ConvolutionPlans& plans,
            const Conv3dArgs& args);

}  // namespace psagen::kernels::cuda
