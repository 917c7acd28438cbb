#include "engine/nn/linear.h"

namespace psagen::engine {

Linear::Linear(std::int64_t in, std::int64_t out, const Weights& weights, Bias bias,
               Weights::Use use)
    : weight_(weights.get({out, in}, "weight", use)) {
  if (bias == Bias::kPresent) bias_ = weights.get({out}, "bias");
  if (bias == Bias::kOfResult) bias_ = weights.get({out}, "bias", Weights::Use::kResult);
}

void Linear::operator()(kernels::Ops& ops, ConstTensorView x, TensorView y,
                        kernels::Activation activation) const {
  ops.linear({.x = x, .weight = weight_, .bias = bias_, .activation = activation, .y = y});
}

void Linear::add_to(kernels::Ops& ops, ConstTensorView x, TensorView y) const {
  ops.linear({.x = x, .weight = weight_, .bias = bias_, .residual = y, .y = y});
}

}  // namespace psagen::engine
