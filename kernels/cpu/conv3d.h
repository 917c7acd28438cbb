// Causal 3-D convolution, channels last.
#pragma once

#include "kernels/cpu/onednn.h"
#include "kernels/ops.h"

namespace psagen::kernels::cpu {

std::unique_ptr<PackedConv3d> pack_conv3d(Context& context, const PackConv3dArgs& args);
void conv3d(Context& context, ConvolutionCache& convolutions, const Conv3dArgs& args);

}  // namespace psagen::kernels::cpu
