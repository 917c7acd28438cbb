#include "kernels/reference/linear.h"

#include "kernels/reference/activation.h"
#include "kernels/reference/elements.h"

namespace psagen::kernels::reference {

template <typename Real>
std::vector<Real> linear(const LinearArgs& args) {
  const auto x = elements<Real>(args.x), weight = elements<Real>(args.weight);
  const auto bias = elements<Real>(args.bias);
  auto y = elements<Real>(args.residual);
  const auto depth = static_cast<std::size_t>(args.weight.dim(1));
  const auto columns = static_cast<std::size_t>(args.weight.dim(0));
  const std::size_t rows = x.size() / depth;
  y.resize(rows * columns);
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t column = 0; column < columns; ++column) {
      Real sum = 0;
      for (std::size_t k = 0; k < depth; ++k)
        sum += x[row * depth + k] * weight[column * depth + k];
      if (!bias.empty()) sum += bias[column];
      sum = activate(sum, args.activation);
      Real& out = y[row * columns + column];
      out = args.residual ? out + sum : sum;
    }
  }
  return y;
}

template std::vector<double> linear<double>(const LinearArgs&);
template std::vector<float> linear<float>(const LinearArgs&);

}  // namespace psagen::kernels::reference
