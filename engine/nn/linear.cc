#include "engine/nn/linear.h"

#include <memory>
#include <utility>
#include <vector>

namespace psagen::engine {

namespace {

// The rows of all of them in one tensor of the first one's type.
Parameter stacked(kernels::Ops& ops, const std::vector<ConstTensorView>& parts) {
  Shape shape = parts.front().shape();
  shape[0] = 0;
  for (const ConstTensorView& part : parts) shape[0] += part.dim(0);
  Tensor whole(ops.context().allocator(), parts.front().dtype(), shape);
  std::int64_t begin = 0;
  for (const ConstTensorView& part : parts) {
    ops.copy(part, whole.view().slice(0, begin, begin + part.dim(0)));
    begin += part.dim(0);
  }
  const auto kept = std::make_shared<const Tensor>(std::move(whole));
  return {kept->view(), kept};
}

}  // namespace

Linear::Linear(std::int64_t in, std::int64_t out, const Weights& weights, Bias bias,
               Weights::Use use)
    : weight_(weights.get({out, in}, "weight", use)) {
  if (bias == Bias::kPresent) bias_ = weights.get({out}, "bias");
}

Linear::Linear(kernels::Ops& ops, std::initializer_list<const Linear*> layers) {
  std::vector<ConstTensorView> weights, biases;
  for (const Linear* layer : layers) {
    weights.push_back(layer->weight_);
    if (layer->bias_) biases.push_back(layer->bias_);
  }
  PSAGEN_CHECK(biases.empty() || biases.size() == weights.size(), ErrorCode::kInternal,
               "only some of the stacked layers have a bias");
  weight_ = stacked(ops, weights);
  if (!biases.empty()) bias_ = stacked(ops, biases);
}

void Linear::operator()(kernels::Ops& ops, ConstTensorView x, TensorView y,
                        kernels::Activation activation) const {
  ops.linear({.x = x, .weight = weight_, .bias = bias_, .activation = activation, .y = y});
}

void Linear::add_to(kernels::Ops& ops, ConstTensorView x, TensorView y) const {
  ops.linear({.x = x, .weight = weight_, .bias = bias_, .residual = y, .y = y});
}

}  // namespace psagen::engine
