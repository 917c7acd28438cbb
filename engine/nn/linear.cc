#include "engine/nn/linear.h"

namespace psagen::engine {

Linear::Linear(std::int64_t in, std::int64_t out, const Weights& weights, Bias bias)
    : weight_(weights.get({out, in}, "weight")) {
  if (bias == Bias::kPresent) bias_ = weights.get({out}, "bias");
}

void Linear::operator()(kernels::Ops& ops, ConstTensorView x, TensorView y,
                        kernels::Activation activation) const {
  ops.linear({.x = x, .weight = weight_, .bias = bias_, .activation = activation, .y = y});
}

void Linear::add_to(kernels::Ops& ops, ConstTensorView x, TensorView y) const {
  ops.linear({.x = x, .weight = weight_, .bias = bias_, .residual = y, .y = y});
}

void Linear::add_gated_to(kernels::Ops& ops, ConstTensorView x, ConstTensorView gate,
                          TensorView y) const {
  ops.linear({.x = x, .weight = weight_, .bias = bias_, .gate = gate, .residual = y, .y = y});
}

}  // namespace psagen::engine
