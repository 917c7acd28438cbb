#include "engine/dit/attention_density.h"

namespace psagen::engine {

AttentionDensity::AttentionDensity(Allocator& allocator, const TransformerConfig& config)
    : values_(allocator, DType::kF32,
              {kForwards, config.num_layers, 2, config.num_attention_heads}) {}

void AttentionDensity::begin_forward(std::int64_t forward) {
  sparse_.resize(static_cast<std::size_t>(forward));
  sparse_.emplace_back();
}

kernels::PsaDensity AttentionDensity::sparse_call(std::int64_t layer) {
  sparse_.back().resize(static_cast<std::size_t>(layer));
  sparse_.back().push_back(1);
  if (!measures_) return {};
  const std::int64_t forward = static_cast<std::int64_t>(sparse_.size()) - 1;
  const TensorView heads = values_.view().slice(0, forward, forward + 1).slice(1, layer, layer + 1);
  const auto part = [&](std::int64_t which) {
    const TensorView row = heads.slice(2, which, which + 1);
    return TensorView(row.bytes(), row.dtype(), {1, row.dim(3)}, row.device());
  };
  return {.nominal = part(0), .executed = part(1)};
}

void AttentionDensity::dense_call(std::int64_t layer) {
  sparse_.back().resize(static_cast<std::size_t>(layer));
  sparse_.back().push_back(0);
}

}  // namespace psagen::engine
