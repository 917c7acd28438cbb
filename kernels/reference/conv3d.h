// Causal 3-D convolution, channels last, with optional doubling of the input frames.
#pragma once

#include <vector>

#include "kernels/ops.h"

namespace psagen::kernels::reference {

// `args.weights` is not read: the plain weights come in `weights`.
template <typename Real>
std::vector<Real> conv3d(const Conv3dArgs& args, const PackConv3dArgs& weights);

}  // namespace psagen::kernels::reference
