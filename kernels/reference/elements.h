// A tensor's elements as one flat list in row-major order, whatever its strides and dtype.
//
// The references below are templates over Real: double is the truth, float is what a plain float32
// program would have computed, whose error sets the tests' tolerance.
#pragma once

#include <vector>

#include "kernels/core/tensor.h"

namespace psagen::kernels::reference {

template <typename Real>
std::vector<Real> elements(const ConstTensorView& view);

}  // namespace psagen::kernels::reference
