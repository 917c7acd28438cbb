#include "kernels/reference/activation.h"

#include "kernels/reference/elements.h"

namespace psagen::kernels::reference {

template <typename Real>
std::vector<Real> activate(const ConstTensorView& x, Activation activation) {
  auto y = elements<Real>(x);
  for (Real& value : y) value = activate(value, activation);
  return y;
}

template <typename Real>
std::vector<Real> gelu_gate(const GeluGateArgs& args) {
  auto y = elements<Real>(args.gate);
  const auto up = elements<Real>(args.up);
  for (std::size_t i = 0; i < y.size(); ++i) y[i] = activate(y[i], Activation::kGeluTanh) * up[i];
  return y;
}

template std::vector<double> activate<double>(const ConstTensorView&, Activation);
template std::vector<float> activate<float>(const ConstTensorView&, Activation);
template std::vector<double> gelu_gate<double>(const GeluGateArgs&);
template std::vector<float> gelu_gate<float>(const GeluGateArgs&);

}  // namespace psagen::kernels::reference
