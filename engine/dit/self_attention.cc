#include "engine/dit/self_attention.h"

#include <algorithm>
#include <cmath>

#include "kernels/psa/psa_args.h"

namespace psagen::engine {

SelfAttention::SelfAttention(const TransformerConfig& config, std::int64_t layer,
                             const Weights& weights)
    : layer_(layer),
      num_heads_(config.num_attention_heads),
      head_dim_(config.attention_head_dim),
      to_q_(config.dim(), config.dim(), weights.child("to_q")),
      to_k_(config.dim(), config.dim(), weights.child("to_k")),
      to_v_(config.dim(), config.dim(), weights.child("to_v"), Linear::Bias::kOfResult),
      to_out_(config.dim(), config.dim(), weights.child("to_out.0")),
      norm_q_(config.dim(), config.eps, weights.child("norm_q")),
      norm_k_(config.dim(), config.eps, weights.child("norm_k")) {}

// Norm over all heads together and rotation of rows from `begin` on, and the means that sparse
// attention wants of them, where `pool`.
void SelfAttention::norm(kernels::Ops& ops, Side side, ConstTensorView rows, std::int64_t begin,
                         bool pool, DitActivations& a) const {
  const bool is_key = side == Side::kKeys;
  const std::int64_t end = begin + rows.dim(1);
  const TensorView out = (is_key ? a.k : a.q).slice(1, begin, end);
  kernels::NormPool means;
  if (pool) means = is_key ? a.pyramid->key_pool(begin) : a.pyramid->query_pool(begin, scale());
  (is_key ? norm_k_ : norm_q_)
      .with_rope(ops, rows, a.rope.cos.view().slice(0, begin, end),
                 a.rope.sin.view().slice(0, begin, end), out.split_last(num_heads_, head_dim_),
                 means.keys || means.queries ? &means : nullptr);
}

// q or k = rope(rms(h W' + b)) [B,L,C]
void SelfAttention::project(kernels::Ops& ops, Side side, bool pool, DitActivations& a) const {
  const Linear& layer = side == Side::kKeys ? to_k_ : to_q_;
  if (!a.projected) {  // float32 anyway: in place
    const TensorView rows = side == Side::kKeys ? a.k : a.q;
    layer(ops, a.h, rows);
    return norm(ops, side, rows, 0, pool, a);
  }
  const std::int64_t num_rows = a.h.shape()[1];
  for (std::int64_t begin = 0; begin < num_rows; begin += a.projected.dim(1)) {
    const std::int64_t end = std::min(begin + a.projected.dim(1), num_rows);
    const TensorView rows = a.projected.slice(1, 0, end - begin);
    layer(ops, a.h.view().slice(1, begin, end), rows);
    norm(ops, side, rows, begin, pool, a);
  }
}

ConstTensorView SelfAttention::forward(kernels::Ops& ops, const StepPosition& position,
                                       DitActivations& a) const {
  const AttentionChoice choice = choose_attention(a.attention, position, layer_, num_heads_);
  // Where levels are kept nothing is selected, and no means are wanted before attention.
  const bool pool =
      choice.kind == AttentionKind::kPyramid && !choice.reuse && a.pyramid->pools_in_norm();
  to_v_(ops, a.h, a.v);  // v = h Wv' + bv    [B,L,C]
  project(ops, Side::kQueries, pool, a);
  project(ops, Side::kKeys, pool, a);
  attend(ops, choice, pool, a);  // h = attention     [B,L,N,D]
  to_out_(ops, a.h, a.y);        // y = h Wo' + bo    [B,L,C]
  return a.y;
}

double SelfAttention::scale() const { return 1.0 / std::sqrt(static_cast<double>(head_dim_)); }

void SelfAttention::attend(kernels::Ops& ops, const AttentionChoice& choice, bool pooled,
                           DitActivations& a) const {
  const TensorView q = a.q.split_last(num_heads_, head_dim_);
  const TensorView k = a.k.split_last(num_heads_, head_dim_);
  const TensorView v = a.v.split_last(num_heads_, head_dim_);
  const TensorView out = a.h.view().split_last(num_heads_, head_dim_);
  if (choice.kind == AttentionKind::kPyramid) {
    a.pyramid->forward(ops, q, k, v, scale(),
                       {.seed = choice.seed,
                        .head_bounds = choice.head_bounds,
                        .slot = choice.slot,
                        .reuse = choice.reuse,
                        .pooled = pooled},
                       out, {}, a.density.sparse_call(layer_));
  } else {
    ops.attention({.q = q, .k = k, .v = v, .scale = scale(), .out = out});
    a.density.dense_call(layer_);
  }
  if (a.probe != nullptr)
    a.probe->attended(ops, layer_, {.q = q, .k = k, .v = v, .scale = scale()});
}

}  // namespace psagen::engine
