#include "engine/text/umt5_encoder.h"

#include <algorithm>

namespace psagen::engine {
namespace {

// The table is stored under its own name, or tied under the encoder's, or both.
Parameter token_table(const TextEncoderConfig& config, const Weights& weights) {
  const Shape shape = {config.vocab_size, config.d_model};
  const Parameter tied = weights.maybe(shape, "encoder.embed_tokens.weight");
  if (const Parameter shared = weights.maybe(shape, "shared.weight")) return shared;
  return tied ? tied : weights.get(shape, "shared.weight");
}

// The first elements of `whole`, seen as `shape`.
TensorView front(TensorView whole, const Shape& shape) {
  return whole.reshape({whole.num_elements()}).slice(0, 0, shape.num_elements()).reshape(shape);
}

}  // namespace

Umt5Activations::Umt5Activations(kernels::Ops& ops, const TextEncoderConfig& config,
                                 std::int64_t length) {
  const auto tensor = [&ops](Shape shape) {
    return Tensor(ops.context().allocator(), DType::kF32, shape);
  };
  const std::int64_t inner = config.num_heads * config.d_kv;
  h_ = tensor({1, length, config.d_model});
  q_ = tensor({1, length, inner});
  k_ = tensor({1, length, inner});
  v_ = tensor({1, length, inner});
  attended_ = tensor({1, length, inner});
  diagonals_ = tensor({config.num_heads, 2 * length - 1});
  bias_ = tensor({config.num_heads, length, length});
  gate_ = tensor({1, length, config.d_ff});
  up_ = tensor({1, length, config.d_ff});
}

Umt5Activations::Views Umt5Activations::views(std::int64_t length) {
  const std::int64_t num_heads = bias_.shape()[0];
  return {.h = h_.view().slice(1, 0, length),
          .q = q_.view().slice(1, 0, length),
          .k = k_.view().slice(1, 0, length),
          .v = v_.view().slice(1, 0, length),
          .attended = attended_.view().slice(1, 0, length),
          .diagonals = front(diagonals_, {num_heads, 2 * length - 1}),
          .bias = front(bias_, {num_heads, length, length}),
          .gate = gate_.view().slice(1, 0, length),
          .up = up_.view().slice(1, 0, length)};
}

Umt5Block::Umt5Block(const TextEncoderConfig& config, const Weights& weights, kernels::Ops& ops)
    : num_heads_(config.num_heads),
      d_kv_(config.d_kv),
      attention_norm_(config.d_model, config.layer_norm_epsilon,
                      weights.child("layer.0.layer_norm")),
      q_(config.d_model, num_heads_ * d_kv_, weights.child("layer.0.SelfAttention.q"),
         Linear::Bias::kNone),
      k_(config.d_model, num_heads_ * d_kv_, weights.child("layer.0.SelfAttention.k"),
         Linear::Bias::kNone),
      v_(config.d_model, num_heads_ * d_kv_, weights.child("layer.0.SelfAttention.v"),
         Linear::Bias::kNone),
      o_(num_heads_ * d_kv_, config.d_model, weights.child("layer.0.SelfAttention.o"),
         Linear::Bias::kNone),
      relative_bias_(config, weights.child("layer.0.SelfAttention.relative_attention_bias"), ops),
      ffn_norm_(config.d_model, config.layer_norm_epsilon, weights.child("layer.1.layer_norm")),
      ffn_(config.d_model, config.d_ff, weights.child("layer.1.DenseReluDense")) {}

void Umt5Block::forward(kernels::Ops& ops, const Umt5Activations::Views& a, TensorView x) const {
  attention_norm_(ops, x, a.h);  // h = rms(x)                              [1,S,C]
  q_(ops, a.h, a.q);             // q, k, v                                 [1,S,N*D]
  k_(ops, a.h, a.k);
  v_(ops, a.h, a.v);
  relative_bias_(ops, a.diagonals, a.bias);  // bias_nij = table[bucket(j - i)][n]      [N,S,S]
  ops.attention({.q = a.q.split_last(num_heads_, d_kv_),  // softmax(q k' + bias) v, unscaled
                 .k = a.k.split_last(num_heads_, d_kv_),
                 .v = a.v.split_last(num_heads_, d_kv_),
                 .scale = 1.0,
                 .bias = a.bias,
                 .out = a.attended.split_last(num_heads_, d_kv_)});
  o_.add_to(ops, a.attended, x);  // x = x + attended Wo'                            [1,S,C]
  ffn_norm_(ops, x, a.h);         // h = rms(x)
  ffn_.add_to(ops, a.h, a.gate, a.up, x);  // x = x + FFN(h)
}

Umt5Encoder::Umt5Encoder(const TextEncoderConfig& config, const Weights& weights, kernels::Ops& ops)
    : config_(config),
      weights_(weights),
      embedding_(token_table(config, weights)),
      final_norm_(config.d_model, config.layer_norm_epsilon,
                  weights.child("encoder.final_layer_norm")) {
  blocks_.reserve(static_cast<std::size_t>(config.num_layers));
  for (std::int64_t n = 0; n < config.num_layers; ++n)
    blocks_.emplace_back(config, weights.child("encoder.block").child(n), ops);
}

std::vector<Tensor> Umt5Encoder::encode(kernels::Ops& ops,
                                        std::span<const std::vector<std::int32_t>> prompts,
                                        const LayerDone& layer_done) const {
  std::int64_t longest = 0;
  std::vector<Tensor> streams;
  for (const std::vector<std::int32_t>& ids : prompts) {
    PSAGEN_CHECK(!ids.empty(), ErrorCode::kInternal, "a prompt without tokens");
    const std::int64_t length = static_cast<std::int64_t>(ids.size());
    longest = std::max(longest, length);
    streams.emplace_back(ops.context().allocator(), DType::kF32, Shape{1, length, config_.d_model});
    embedding_(ops, ids, streams.back().view().reshape({length, config_.d_model}));
  }
  Umt5Activations activations(ops, config_, longest);
  for (std::int64_t n = 0; n < config_.num_layers; ++n) {
    for (Tensor& x : streams)
      blocks_[static_cast<std::size_t>(n)].forward(ops, activations.views(x.shape()[1]), x);
    weights_.source().drop_from_memory();
    if (layer_done) layer_done(n + 1, config_.num_layers);
  }
  for (Tensor& x : streams) final_norm_(ops, x, x);
  return streams;
}

}  // namespace psagen::engine
