// y = activation(x W' + b), or residual + x W' + b.
#pragma once

#include <vector>

#include "kernels/ops.h"

namespace psagen::kernels::reference {

template <typename Real>
std::vector<Real> linear(const LinearArgs& args);

}  // namespace psagen::kernels::reference
