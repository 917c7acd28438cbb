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
  return whole.slice(0, 0, shape.num_elements()).reshape(shape);
}

}  // namespace

DType umt5_dtype(const Context& context) {
  return context.compute_dtype() == DType::kF16 ? DType::kBF16 : context.compute_dtype();
}

Umt5Activations::Umt5Activations(kernels::Ops& ops, const TextEncoderConfig& config,
                                 std::int64_t num_rows, std::int64_t longest_prompt) {
  Allocator& allocator = ops.context().allocator();
  const DType dtype = umt5_dtype(ops.context());
  const auto tensor = [&](Shape shape) { return Tensor(allocator, dtype, shape); };
  const auto floats = [&](Shape shape) { return Tensor(allocator, DType::kF32, shape); };
  const std::int64_t inner = config.num_heads * config.d_kv;
  x = floats({1, num_rows, config.d_model});
  h = tensor({1, num_rows, config.d_model});
  q = tensor({1, num_rows, inner});
  k = tensor({1, num_rows, inner});
  v = tensor({1, num_rows, inner});
  attended = tensor({1, num_rows, inner});
  diagonals = floats({config.num_heads * (2 * longest_prompt - 1)});
  bias = floats({config.num_heads * longest_prompt * longest_prompt});
  gate = tensor({1, num_rows, config.d_ff});
  up = tensor({1, num_rows, config.d_ff});
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

void Umt5Block::forward(kernels::Ops& ops, std::span<const PromptRows> prompts,
                        Umt5Activations& a) const {
  attention_norm_(ops, a.x, a.h);  // h = rms(x)            [1,S,C]
  q_(ops, a.h, a.q);               // q, k, v               [1,S,N*D]
  k_(ops, a.h, a.k);
  v_(ops, a.h, a.v);
  for (const PromptRows& rows : prompts) attend(ops, rows, a);  // attended              [1,S,N*D]
  o_.add_to(ops, a.attended, a.x);                              // x = x + attended Wo'  [1,S,C]
  ffn_norm_(ops, a.x, a.h);                                     // h = rms(x)
  ffn_.add_to(ops, a.h, a.gate, a.up, a.x);                     // x = x + FFN(h)
}

void Umt5Block::attend(kernels::Ops& ops, const PromptRows& rows, Umt5Activations& a) const {
  const std::int64_t length = rows.length();
  const auto heads = [&](TensorView whole) {  // [1, S, N*D] -> the prompt's [1, P, N, D]
    return whole.slice(1, rows.begin, rows.end).split_last(num_heads_, d_kv_);
  };
  const TensorView bias = front(a.bias, {num_heads_, length, length});
  relative_bias_(ops, front(a.diagonals, {num_heads_, 2 * length - 1}), bias);
  ops.attention({.q = heads(a.q),  // softmax(q k' + bias) v; the scores are not scaled
                 .k = heads(a.k),
                 .v = heads(a.v),
                 .scale = 1.0,
                 .bias = bias,
                 .out = heads(a.attended)});
}

Umt5Encoder::Umt5Encoder(const TextEncoderConfig& config, const Weights& weights, kernels::Ops& ops,
                         bool layers_in_turn)
    : config_(config),
      weights_(weights),
      embedding_(token_table(config, weights)),
      final_norm_(config.d_model, config.layer_norm_epsilon,
                  weights.child("encoder.final_layer_norm")) {
  if (layers_in_turn) return;
  blocks_.reserve(static_cast<std::size_t>(config.num_layers));
  for (std::int64_t n = 0; n < config.num_layers; ++n) blocks_.push_back(block(n, ops));
}

Umt5Block Umt5Encoder::block(std::int64_t index, kernels::Ops& ops) const {
  return {config_, weights_.child("encoder.block").child(index), ops};
}

std::vector<Tensor> Umt5Encoder::encode(kernels::Ops& ops,
                                        std::span<const std::vector<std::int32_t>> prompts,
                                        const LayerDone& layer_done) const {
  std::vector<std::int32_t> ids;
  std::vector<PromptRows> rows;
  std::int64_t longest = 0;
  for (const std::vector<std::int32_t>& prompt : prompts) {
    PSAGEN_CHECK(!prompt.empty(), ErrorCode::kInternal, "a prompt without tokens");
    const std::int64_t begin = static_cast<std::int64_t>(ids.size());
    ids.insert(ids.end(), prompt.begin(), prompt.end());
    rows.push_back({.begin = begin, .end = static_cast<std::int64_t>(ids.size())});
    longest = std::max(longest, rows.back().length());
  }
  const std::int64_t num_rows = static_cast<std::int64_t>(ids.size());
  Umt5Activations a(ops, config_, num_rows, longest);
  embedding_(ops, ids, a.x.view().reshape({num_rows, config_.d_model}));
  for (std::int64_t n = 0; n < config_.num_layers; ++n) {
    const Profiler::Range range(ops.context().profiler(), "block", n);
    if (blocks_.empty())
      block(n, ops).forward(ops, rows, a);
    else
      blocks_[static_cast<std::size_t>(n)].forward(ops, rows, a);
    weights_.source().drop_from_memory();
    if (layer_done) layer_done(n + 1, config_.num_layers, a.x);
  }
  final_norm_(ops, a.x, a.h);

  std::vector<Tensor> encoded;
  for (const PromptRows& prompt : rows) {
    Tensor& result = encoded.emplace_back(ops.context().allocator(), a.h.view().dtype(),
                                          Shape{1, prompt.length(), config_.d_model});
    ops.copy(a.h.view().slice(1, prompt.begin, prompt.end), result);
  }
  return encoded;
}

}  // namespace psagen::engine
