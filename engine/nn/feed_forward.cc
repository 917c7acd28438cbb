#include "engine/nn/feed_forward.h"

#include <algorithm>

namespace psagen::engine {

FeedForward::FeedForward(std::int64_t dim, std::int64_t hidden, const Weights& weights)
    : up_(dim, hidden, weights.child("net.0.proj"), Linear::Bias::kOfResult),
      down_(hidden, dim, weights.child("net.2"), Linear::Bias::kOfResult) {}

void FeedForward::operator()(kernels::Ops& ops, ConstTensorView h, TensorView hidden,
                             TensorView y) const {
  const std::int64_t num_rows = h.dim(1);
  for (std::int64_t begin = 0; begin < num_rows; begin += hidden.dim(1)) {
    const std::int64_t end = std::min(begin + hidden.dim(1), num_rows);
    const TensorView slice = hidden.slice(1, 0, end - begin);
    up_(ops, h.slice(1, begin, end), slice, kernels::Activation::kGeluTanh);
    down_(ops, slice, y.slice(1, begin, end));
  }
}

GatedFeedForward::GatedFeedForward(std::int64_t dim, std::int64_t hidden, const Weights& weights)
    : wi_0_(dim, hidden, weights.child("wi_0"), Linear::Bias::kNone),
      wi_1_(dim, hidden, weights.child("wi_1"), Linear::Bias::kNone),
      wo_(hidden, dim, weights.child("wo"), Linear::Bias::kNone) {}

void GatedFeedForward::add_to(kernels::Ops& ops, ConstTensorView h, TensorView gate, TensorView up,
                              TensorView x) const {
  wi_0_(ops, h, gate);
  wi_1_(ops, h, up);
  ops.gelu_gate({.gate = gate, .up = up, .y = gate});
  wo_.add_to(ops, gate, x);
}

}  // namespace psagen::engine
