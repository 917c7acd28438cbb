// The two feed-forward shapes of the model family: plain GELU (Wan DiT) and gated GELU (UMT5).
#pragma once

#include <cstdint>

#include "engine/nn/linear.h"

namespace psagen::engine {

// y = W2 gelu_tanh(W1 h + b1) + b2, in slices of rows: the hidden tensor is several times as wide
// as y, and rows do not depend on each other.
class FeedForward {
 public:
  // Reads `net.0.proj` [hidden, dim] and `net.2` [dim, hidden].
  FeedForward(std::int64_t dim, std::int64_t hidden, const Weights& weights);

  // h [B, L, dim], hidden [B, R, hidden] with any R >= 1, y [B, L, dim], all of one type.
  void operator()(kernels::Ops& ops, ConstTensorView h, TensorView hidden, TensorView y) const;

 private:
  Linear up_;
  Linear down_;
};

// x = x + Wo (gelu_tanh(W0 h) * (W1 h)), without biases.
class GatedFeedForward {
 public:
  // Reads `wi_0`, `wi_1` [hidden, dim] and `wo` [dim, hidden].
  GatedFeedForward(std::int64_t dim, std::int64_t hidden, const Weights& weights);

  // h, x [B, S, dim]; gate, up [B, S, hidden] are scratch.
  void add_to(kernels::Ops& ops, ConstTensorView h, TensorView gate, TensorView up,
              TensorView x) const;

 private:
  Linear wi_0_;
  Linear wi_1_;
  Linear wo_;
};

}  // namespace psagen::engine
