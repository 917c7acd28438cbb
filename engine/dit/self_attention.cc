#include "engine/dit/self_attention.h"

#include <cmath>

namespace psagen::engine {

SelfAttention::SelfAttention(const TransformerConfig& config, std::int64_t layer,
                             const Weights& weights)
    : layer_(layer),
      num_heads_(config.num_attention_heads),
      head_dim_(config.attention_head_dim),
      to_q_(config.dim(), config.dim(), weights.child("to_q")),
      to_k_(config.dim(), config.dim(), weights.child("to_k")),
      to_v_(config.dim(), config.dim(), weights.child("to_v")),
      to_out_(config.dim(), config.dim(), weights.child("to_out.0")),
      norm_q_(config.dim(), config.eps, weights.child("norm_q")),
      norm_k_(config.dim(), config.eps, weights.child("norm_k")) {}

void SelfAttention::add_to(kernels::Ops& ops, const StepPosition& position, ConstTensorView gate,
                           DitActivations& a) const {
  const TensorView q = a.q.view().split_last(num_heads_, head_dim_);
  const TensorView k = a.k.view().split_last(num_heads_, head_dim_);
  to_q_(ops, a.h, a.q);                                    // q = h Wq' + bq          [B,L,C]
  norm_q_.with_rope(ops, a.q, a.rope.cos, a.rope.sin, q);  // over all heads together [B,L,N,D]
  to_k_(ops, a.h, a.k);                                    // k likewise              [B,L,C]
  norm_k_.with_rope(ops, a.k, a.rope.cos, a.rope.sin, k);
  to_v_(ops, a.h, a.v);  // v = h Wv' + bv          [B,L,C]
  attend(ops, choose_attention(a.attention, position, layer_), a);  // h = attention      [B,L,N,D]
  to_out_.add_gated_to(ops, a.h, gate, a.x);                        // x = x + gate (h Wo' + bo)
}

void SelfAttention::attend(kernels::Ops& ops, const AttentionChoice& choice,
                           DitActivations& a) const {
  const double scale = 1.0 / std::sqrt(static_cast<double>(head_dim_));
  const TensorView q = a.q.view().split_last(num_heads_, head_dim_);
  const TensorView k = a.k.view().split_last(num_heads_, head_dim_);
  const TensorView v = a.v.view().split_last(num_heads_, head_dim_);
  const TensorView out = a.h.view().split_last(num_heads_, head_dim_);
  kernels::PsaStats stats = {.nominal_density = 1.0, .executed_density = 1.0};
  if (choice.kind == AttentionKind::kPyramid) {
    stats = a.pyramid->forward(ops, q, k, v, scale, choice.seed, out);
    ++a.density.sparse_calls;
  } else {
    ops.attention({.q = q, .k = k, .v = v, .scale = scale, .out = out});
  }
  a.density.nominal += stats.nominal_density;
  a.density.executed += stats.executed_density;
  ++a.density.calls;
}

}  // namespace psagen::engine
