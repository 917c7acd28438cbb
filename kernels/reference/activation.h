// gelu_tanh and SiLU as they are written in papers.
#pragma once

#include <cmath>
#include <vector>

#include "kernels/ops.h"

namespace psagen::kernels::reference {

template <typename Real>
Real activate(Real x, Activation activation) {
  switch (activation) {
    case Activation::kGeluTanh: {
      const Real u =
          static_cast<Real>(0.79788456080286536) * (x + static_cast<Real>(0.044715) * x * x * x);
      return static_cast<Real>(0.5) * x * (1 + std::tanh(u));
    }
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
    case Activation::kNone:
      break;
  }
  return x;
}

template <typename Real>
std::vector<Real> activate(const ConstTensorView& x, Activation activation);

// gelu_tanh(gate) * up
template <typename Real>
std::vector<Real> gelu_gate(const GeluGateArgs& args);

}  // namespace psagen::kernels::reference
