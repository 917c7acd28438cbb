#include "engine/dit/self_attention.h"

#include <cmath>
#include <utility>

namespace psagen::engine {

namespace {

std::vector<Linear> qkv_layers(const TransformerConfig& config, const Weights& weights,
                               kernels::Ops& ops, bool may_stack) {
  std::vector<Linear> layers;
  for (const char* name : {"to_q", "to_k", "to_v"})
    layers.emplace_back(config.dim(), config.dim(), weights.child(name));
  // A GPU is quicker with one large product; a mapped file is not copied.
  if (!may_stack || ops.context().runtime() == nullptr) return layers;
  Linear whole(ops, {&layers[0], &layers[1], &layers[2]});
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
      to_qkv_(qkv_layers(config, weights, ops, may_stack)),
      to_out_(config.dim(), config.dim(), weights.child("to_out.0")),
      norm_q_(config.dim(), config.eps, weights.child("norm_q")),
      norm_k_(config.dim(), config.eps, weights.child("norm_k")) {}

void SelfAttention::project(kernels::Ops& ops, DitActivations& a) const {
  if (to_qkv_.size() == 1) {
    to_qkv_[0](ops, a.h, a.qkv);  // q, k, v = h W' + b              [B,L,3 C]
    return;
  }
  to_qkv_[0](ops, a.h, a.q);
  to_qkv_[1](ops, a.h, a.k);
  to_qkv_[2](ops, a.h, a.v);
}

ConstTensorView SelfAttention::forward(kernels::Ops& ops, const StepPosition& position,
                                       DitActivations& a) const {
  project(ops, a);                                           // q, k, v = h W' + b  [B,L,C] each
  norm_q_.with_rope(ops, a.q, a.rope.cos, a.rope.sin,        // over all heads together
                    a.q.split_last(num_heads_, head_dim_));  //                   [B,L,N,D]
  norm_k_.with_rope(ops, a.k, a.rope.cos, a.rope.sin, a.k.split_last(num_heads_, head_dim_));
  attend(ops, choose_attention(a.attention, position, layer_), a);  // h = attention [B,L,N,D]
  to_out_(ops, a.h, a.q);                                           // y = h Wo' + bo [B,L,C]
  return a.q;
}

void SelfAttention::attend(kernels::Ops& ops, const AttentionChoice& choice,
                           DitActivations& a) const {
  const double scale = 1.0 / std::sqrt(static_cast<double>(head_dim_));
  const TensorView q = a.q.split_last(num_heads_, head_dim_);
  const TensorView k = a.k.split_last(num_heads_, head_dim_);
  const TensorView v = a.v.split_last(num_heads_, head_dim_);
  const TensorView out = a.h.view().split_last(num_heads_, head_dim_);
  if (choice.kind == AttentionKind::kPyramid) {
    a.pyramid->forward(ops, q, k, v, scale, choice.seed, out, {}, a.density.sparse_call(layer_));
  } else {
    ops.attention({.q = q, .k = k, .v = v, .scale = scale, .out = out});
    a.density.dense_call(layer_);
  }
}

}  // namespace psagen::engine
