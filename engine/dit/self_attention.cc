#include "engine/dit/self_attention.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/psa/psa_args.h"

namespace psagen::engine {

namespace {

std::vector<Linear> qk_layers(const TransformerConfig& config, const Weights& weights,
                              kernels::Ops& ops, bool may_stack) {
  std::vector<Linear> layers;
  for (const char* name : {"to_q", "to_k"})
    layers.emplace_back(config.dim(), config.dim(), weights.child(name));
  // A GPU is quicker with one large product; a mapped file is not copied.
  if (!may_stack || ops.context().runtime() == nullptr) return layers;
  Linear whole(ops, {&layers[0], &layers[1]});
  layers.clear();
  layers.push_back(std::move(whole));
  return layers;
}

}  // namespace

SelfAttention::SelfAttention(const TransformerConfig& config, std::int64_t layer,
                             const Weights& weights, kernels::Ops& ops, bool may_stack)
    : layer_(layer),
      num_heads_(config.num_attention_heads),
      head_dim_(config.attention_head_dim),
      to_qk_(qk_layers(config, weights, ops, may_stack)),
      to_v_(config.dim(), config.dim(), weights.child("to_v")),
      to_out_(config.dim(), config.dim(), weights.child("to_out.0")),
      norm_q_(config.dim(), config.eps, weights.child("norm_q")),
      norm_k_(config.dim(), config.eps, weights.child("norm_k")) {}

// q and k, rows [begin, begin + R) of a clip -> a.q, a.k: norm over all heads together, rotation,
// and the means that sparse attention wants, where `pool`.
void SelfAttention::norm(kernels::Ops& ops, ConstTensorView q, ConstTensorView k,
                         std::int64_t begin, bool pool, DitActivations& a) const {
  const std::int64_t end = begin + q.dim(1);
  const ConstTensorView cosine = a.rope.cos.view().slice(0, begin, end);
  const ConstTensorView sine = a.rope.sin.view().slice(0, begin, end);
  const TensorView q_out = a.q.slice(1, begin, end).split_last(num_heads_, head_dim_);
  const TensorView k_out = a.k.slice(1, begin, end).split_last(num_heads_, head_dim_);
  if (!pool) {
    norm_q_.with_rope(ops, q, cosine, sine, q_out);
    norm_k_.with_rope(ops, k, cosine, sine, k_out);
    return;
  }
  const kernels::NormPool queries = a.pyramid->query_pool(begin, scale());
  const kernels::NormPool keys = a.pyramid->key_pool(begin);
  norm_q_.with_rope(ops, q, cosine, sine, q_out, queries.queries ? &queries : nullptr);
  norm_k_.with_rope(ops, k, cosine, sine, k_out, &keys);
}

void SelfAttention::project(kernels::Ops& ops, bool pool, DitActivations& a) const {
  to_v_(ops, a.h, a.v);
  if (!a.projected) {  // float32 anyway: in place
    to_qk_[0](ops, a.h, a.q);
    to_qk_[1](ops, a.h, a.k);
    return norm(ops, a.q, a.k, 0, pool, a);
  }
  const std::int64_t dim = num_heads_ * head_dim_;
  for (std::int64_t begin = 0; begin < a.h.shape()[1]; begin += a.projected.dim(1)) {
    const std::int64_t end = std::min(begin + a.projected.dim(1), a.h.shape()[1]);
    const ConstTensorView h = a.h.view().slice(1, begin, end);
    const TensorView rows = a.projected.slice(1, 0, end - begin);
    const TensorView q = rows.slice(2, 0, dim), k = rows.slice(2, dim, 2 * dim);
    if (to_qk_.size() == 1) {
      to_qk_[0](ops, h, rows);
    } else {
      to_qk_[0](ops, h, q);
      to_qk_[1](ops, h, k);
    }
    norm(ops, q, k, begin, pool, a);
  }
}

ConstTensorView SelfAttention::forward(kernels::Ops& ops, const StepPosition& position,
                                       DitActivations& a) const {
  const AttentionChoice choice = choose_attention(a.attention, position, layer_, num_heads_);
  const bool pool = choice.kind == AttentionKind::kPyramid && a.pyramid->pools_in_norm();
  project(ops, pool, a);         // v = h Wv' + bv; q, k = rope(rms(h W' + b)) [B,L,C]
  attend(ops, choice, pool, a);  // h = attention [B,L,N,D]
  to_out_(ops, a.h, a.y);        // y = h Wo' + bo [B,L,C]
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
