#include "engine/dit/dit.h"

#include <algorithm>
#include <cmath>

namespace psagen::engine {
namespace {

const TransformerConfig& checked(const TransformerConfig& config) {
  PSAGEN_CHECK((config.patch_size == std::array<std::int64_t, 3>{1, 2, 2}), ErrorCode::kUnsupported,
               "patch_size is [", config.patch_size[0], ", ", config.patch_size[1], ", ",
               config.patch_size[2], "], wanted [1, 2, 2]");
  return config;
}

ConstTensorView host_row(const std::vector<float>& values, const Shape& shape) {
  return {reinterpret_cast<const std::byte*>(values.data()), DType::kF32, shape, Device{}};
}

}  // namespace

Dit::Dit(const TransformerConfig& config, const Weights& weights, kernels::Ops& ops,
         std::int64_t streamed_blocks)
    : config_(checked(config)),
      patch_embedding_(config, weights.child("patch_embedding")),
      time_embed_(config, weights.child("condition_embedder")),
      text_linear_1_(config.text_dim, config.dim(),
                     weights.child("condition_embedder.text_embedder.linear_1")),
      text_linear_2_(config.dim(), config.dim(),
                     weights.child("condition_embedder.text_embedder.linear_2")),
      head_modulation_(2, config.dim(), weights, ops),
      norm_out_(config.eps),
      proj_out_(config.dim(), kPatchArea * config.out_channels, weights.child("proj_out"),
                Linear::Bias::kPresent, Weights::Use::kValues) {
  PSAGEN_CHECK(streamed_blocks >= 0 && streamed_blocks <= config.num_layers &&
                   (streamed_blocks == 0 || ops.context().runtime() != nullptr),
               ErrorCode::kInternal, streamed_blocks, " of ", config.num_layers,
               " blocks cannot be streamed");
  const Weights blocks = weights.child("blocks");
  const std::int64_t resident = config.num_layers - streamed_blocks;
  if (streamed_blocks > 0)
    stream_ = std::make_unique<BlockStream>(ops.context(), streamed_blocks,
                                            blocks.child(resident).device_bytes());
  blocks_.reserve(static_cast<std::size_t>(config.num_layers));
  for (std::int64_t n = 0; n < config.num_layers; ++n) {
    if (n < resident) {
      blocks_.emplace_back(config, n, blocks.child(n), ops);
      continue;
    }
    blocks_.emplace_back(config, n, blocks.child(n).placed_in(stream_->place(n - resident)), ops);
    stream_->keep(n - resident);
  }
}

template <typename Work>
void Dit::run_block(std::size_t index, const Work& work) const {
  const std::int64_t streamed = static_cast<std::int64_t>(index) -
                                (config_.num_layers - (stream_ ? stream_->num_blocks() : 0));
  if (streamed < 0) return work(blocks_[index]);
  stream_->enter(streamed);
  work(blocks_[index]);
  stream_->leave(streamed);
}

TextContext Dit::encode_text(kernels::Ops& ops, ConstTensorView encoded,
                             std::int64_t max_text_tokens) const {
  const std::int64_t length = encoded.dim(1);
  PSAGEN_CHECK(length <= max_text_tokens, ErrorCode::kInternal, "a prompt of ", length,
               " tokens, wanted at most ", max_text_tokens);
  const std::int64_t num_padding = max_text_tokens - length;
  const std::int64_t num_keys = length + (num_padding > 0 ? 1 : 0);

  // Host copies: these are a few rows, once per prompt.
  Allocator& allocator = ops.context().allocator();
  const DType dtype = ops.context().compute_dtype();
  Tensor rows(allocator, dtype, {1, num_keys, config_.text_dim});
  ops.copy(encoded, rows.view().slice(1, 0, length));
  TextContext context;
  if (num_padding > 0) {
    const std::vector<float> zeros(static_cast<std::size_t>(config_.text_dim), 0.0f);
    ops.copy(host_row(zeros, {1, 1, config_.text_dim}), rows.view().slice(1, length, num_keys));
    std::vector<float> log_weight(static_cast<std::size_t>(num_keys), 0.0f);
    log_weight.back() = static_cast<float>(std::log(static_cast<double>(num_padding)));
    context.key_log_weight = Tensor(allocator, DType::kF32, {1, num_keys});
    ops.copy(host_row(log_weight, {1, num_keys}), context.key_log_weight);
  }

  Tensor hidden(allocator, dtype, {1, num_keys, config_.dim()});
  Tensor text(allocator, dtype, {1, num_keys, config_.dim()});
  text_linear_1_(ops, rows, hidden, kernels::Activation::kGeluTanh);  // gelu(W1 c + b1)   [1,S,C]
  text_linear_2_(ops, hidden, text);                                  // W2 .. + b2        [1,S,C]

  context.layers.reserve(blocks_.size());
  for (std::size_t n = 0; n < blocks_.size(); ++n)
    run_block(
        n, [&](const DitBlock& block) { context.layers.push_back(block.project_text(ops, text)); });
  return context;
}

void Dit::forward(kernels::Ops& ops, ConstTensorView latent, double timestep,
                  const StepPosition& position, const TextContext& text, DitActivations& a,
                  TensorView velocity) const {
  time_embed_(ops, timestep, a.time);                            // e [B,C], e0 [B,6,C]
  patch_embedding_(ops, latent, a.order_table, a.patches, a.x);  // x                 [B,L,C]
  PendingResidual pending;
  const auto nonfinite = [&](std::size_t slot) {
    const std::int64_t index = static_cast<std::int64_t>(slot);
    return a.nonfinite.view().slice(0, index, index + 1);
  };
  for (std::size_t n = 0; n < blocks_.size(); ++n) {
    const Profiler::Range range(ops.context().profiler(), "block", static_cast<std::int64_t>(n));
    run_block(n, [&](const DitBlock& block) {
      pending = block.forward(ops, pending, position, text.layers[n], text.key_log_weight,
                              a.modulation[n % 2], nonfinite(n), a);
    });
  }
  const Modulation m = head_modulation_.head_rows(
      ops, a.time.e, a.modulation[blocks_.size() % 2].view().slice(1, 0, 2));
  for (std::int64_t begin = 0; begin < a.x.shape()[1]; begin += a.head_rows.dim(1)) {
    const std::int64_t end = std::min(begin + a.head_rows.dim(1), a.x.shape()[1]);
    const TensorView h = a.head_rows.slice(1, 0, end - begin);
    const PendingResidual rows = {pending.y.slice(1, begin, end), pending.gate, pending.nonfinite};
    norm_out_.add(ops, rows, a.x.view().slice(1, begin, end), m.scale, m.shift,
                  h);                                              // LN(x) modulated
    proj_out_(ops, h, a.head_tokens.view().slice(1, begin, end));  // [B,L,4 Cout]
  }
  ops.unpatchify({.tokens = a.head_tokens, .order = a.order_table, .latent = velocity});
  ops.count_nonfinite(a.head_tokens, nonfinite(blocks_.size()));
}

}  // namespace psagen::engine
