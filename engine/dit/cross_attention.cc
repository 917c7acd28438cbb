#include "engine/dit/cross_attention.h"

#include <algorithm>
#include <cmath>

namespace psagen::engine {

CrossAttention::CrossAttention(const TransformerConfig& config, const Weights& weights)
    : num_heads_(config.num_attention_heads),
      head_dim_(config.attention_head_dim),
      to_q_(config.dim(), config.dim(), weights.child("to_q"), Linear::Bias::kOfResult),
      to_k_(config.dim(), config.dim(), weights.child("to_k")),
      to_v_(config.dim(), config.dim(), weights.child("to_v"), Linear::Bias::kOfResult),
      to_out_(config.dim(), config.dim(), weights.child("to_out.0")),
      norm_q_(config.dim(), config.eps, weights.child("norm_q")),
      norm_k_(config.dim(), config.eps, weights.child("norm_k")) {
  // Some text-to-video files carry the norm of image queries, which no formula uses (spec 1.6).
  weights.ignore("norm_added_q");
}

TextKeysValues CrossAttention::project_text(kernels::Ops& ops, ConstTensorView text) const {
  Allocator& allocator = ops.context().allocator();
  TextKeysValues result = {.k = Tensor(allocator, ops.context().score_dtype(), text.shape()),
                           .v = Tensor(allocator, text.dtype(), text.shape())};
  Tensor projected(allocator, DType::kF32, text.shape());
  to_k_(ops, text, projected);  // k = rms(text Wk' + bk)                 [1,S,C]
  norm_k_(ops, projected, result.k);
  to_v_(ops, text, result.v);  // v = text Wv' + bv                      [1,S,C]
  return result;
}

// q = rms(h Wq' + bq), no rotation                                        [B,L,C]
void CrossAttention::project(kernels::Ops& ops, DitActivations& a) const {
  if (!a.text_queries) {  // float32 anyway: in place
    to_q_(ops, a.h, a.q);
    return norm_q_(ops, a.q, a.q);
  }
  const std::int64_t rows = a.h.shape()[1];
  for (std::int64_t begin = 0; begin < rows; begin += a.text_queries.dim(1)) {
    const std::int64_t end = std::min(begin + a.text_queries.dim(1), rows);
    const TensorView q = a.text_queries.slice(1, 0, end - begin);
    to_q_(ops, a.h.view().slice(1, begin, end), q);
    norm_q_(ops, q, a.q.slice(1, begin, end));
  }
}

void CrossAttention::add_to(kernels::Ops& ops, const TextKeysValues& text,
                            ConstTensorView key_log_weight, DitActivations& a) const {
  project(ops, a);
  ops.attention({.q = a.q.split_last(num_heads_, head_dim_),  // h = attention [B,L,N,D]
                 .k = text.k.view().split_last(num_heads_, head_dim_),
                 .v = text.v.view().split_last(num_heads_, head_dim_),
                 .scale = 1.0 / std::sqrt(static_cast<double>(head_dim_)),
                 .key_log_weight = key_log_weight,
                 .out = a.h.view().split_last(num_heads_, head_dim_)});
  to_out_.add_to(ops, a.h, a.x);  // x = x + h Wo' + bo             [B,L,C]
}

}  // namespace psagen::engine
