// RMS norm over all heads, then rotation of adjacent pairs.
#pragma once

#include <vector>

#include "kernels/ops.h"

namespace psagen::kernels::reference {

template <typename Real>
std::vector<Real> rms_norm_rope(const RmsNormRopeArgs& args);

}  // namespace psagen::kernels::reference
