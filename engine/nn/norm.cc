#include "engine/nn/norm.h"

namespace psagen::engine {

LayerNorm::LayerNorm(std::int64_t dim, double eps, const Weights& weights)
    : eps_(eps), weight_(weights.get({dim}, "weight")), bias_(weights.get({dim}, "bias")) {}

void LayerNorm::operator()(kernels::Ops& ops, ConstTensorView x, TensorView y) const {
  ops.layer_norm({.x = x, .gamma = weight_, .beta = bias_, .eps = eps_, .y = y});
}

void LayerNorm::add(kernels::Ops& ops, const PendingResidual& pending, TensorView x,
                    ConstTensorView scale, ConstTensorView shift, TensorView h) const {
  if (!pending.y) {
    ops.layer_norm({.x = x,
                    .gamma = weight_,
                    .beta = bias_,
                    .scale = scale,
                    .shift = shift,
                    .eps = eps_,
                    .y = h});
    return;
  }
  ops.residual_norm({.x = x,
                     .y = pending.y,
                     .gate = pending.gate,
                     .gamma = weight_,
                     .beta = bias_,
                     .scale = scale,
                     .shift = shift,
                     .eps = eps_,
                     .h = h,
                     .nonfinite = pending.nonfinite});
}

RmsNorm::RmsNorm(std::int64_t dim, double eps, const Weights& weights)
    : eps_(eps), weight_(weights.get({dim}, "weight")) {}

void RmsNorm::operator()(kernels::Ops& ops, ConstTensorView x, TensorView y) const {
  ops.rms_norm({.x = x, .gamma = weight_, .eps = eps_, .y = y});
}

void RmsNorm::with_rope(kernels::Ops& ops, ConstTensorView x, ConstTensorView rope_cos,
                        ConstTensorView rope_sin, TensorView y,
                        const kernels::NormPool* pool) const {
  ops.rms_norm_rope({.x = x,
                     .gamma = weight_,
                     .eps = eps_,
                     .rope_cos = rope_cos,
                     .rope_sin = rope_sin,
                     .y = y,
                     .pool = pool});
}

}  // namespace psagen::engine
