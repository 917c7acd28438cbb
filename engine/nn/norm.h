// Normalisation over the last dimension, with the parameters a checkpoint has for it.
#pragma once

#include <cstdint>

#include "engine/weights/weights.h"
#include "kernels/ops.h"

namespace psagen::engine {

// What a layer leaves to be added to the residual stream x: x = x + gate y. The norm of the next
// layer does it on its way, so that x is read and written once between two layers.
struct PendingResidual {
  ConstTensorView y;       // [B, L, C]; empty: nothing is left to add
  ConstTensorView gate{};  // [B, C]; empty: 1
  TensorView nonfinite{};  // ResidualNormArgs::nonfinite, optional
};

class LayerNorm {
 public:
  // Without parameters: (x - mean) / sqrt(var + eps).
  explicit LayerNorm(double eps) : eps_(eps) {}
  // With `weight` [dim] and `bias` [dim].
  LayerNorm(std::int64_t dim, double eps, const Weights& weights);

  // y = LN(x); x, y [B, L, C].
  void operator()(kernels::Ops& ops, ConstTensorView x, TensorView y) const;
  // x = x + gate y of `pending`, then h = LN(x), and h = h (1 + scale) + shift where the two
  // [B, C] are given. h may be pending.y.
  void add(kernels::Ops& ops, const PendingResidual& pending, TensorView x, ConstTensorView scale,
           ConstTensorView shift, TensorView h) const;

 private:
  double eps_;
  Parameter weight_;
  Parameter bias_;
};

class RmsNorm {
 public:
  // Reads `weight` [dim].
  RmsNorm(std::int64_t dim, double eps, const Weights& weights);

  // y = x / sqrt(mean(x^2) + eps) * weight; x, y [..., dim].
  void operator()(kernels::Ops& ops, ConstTensorView x, TensorView y) const;
  // The same, then rotary embedding of adjacent pairs; rope_cos, rope_sin [L, D / 2],
  // x [B, L, N * D], y [B, L, N, D]; `pool`: RmsNormRopeArgs::pool.
  void with_rope(kernels::Ops& ops, ConstTensorView x, ConstTensorView rope_cos,
                 ConstTensorView rope_sin, TensorView y,
                 const kernels::NormPool* pool = nullptr) const;

 private:
  double eps_;
  Parameter weight_;
};

}  // namespace psagen::engine
