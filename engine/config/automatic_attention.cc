#include "engine/config/automatic_attention.h"

#include "kernels/core/error.h"

namespace psagen::engine {

AttentionConfig resolve_attention(const std::string& spec, std::int64_t num_tokens,
                                  const ContextOptions& device) {
  if (spec != kAutomaticAttention) return parse_attention(spec);
  AttentionConfig sparse = parse_attention("psa:balanced");
  if (num_tokens >= kSparseFromTokens && why_slow(sparse, device).empty()) return sparse;
  return parse_attention("dense");
}

// Tensor cores do it in 16 bits with query blocks of 128 (kernels/cuda/psa/sparse_attention).
std::string why_slow(const AttentionConfig& attention, const ContextOptions& device) {
  if (attention.kind != AttentionKind::kPyramid || device.device.kind != DeviceKind::kCuda)
    return "";
  if (device.compute_dtype == DType::kF32) return "float32 on a GPU";
  if (attention.psa.query_block != 128)
    return concat("query blocks of ", attention.psa.query_block, " on a GPU");
  if (attention.psa.estimator == kernels::ImportanceEstimator::kSampled)
    return "the official estimator on a GPU";
  return "";
}

std::string describe_attention(const AttentionConfig& attention, std::string_view spec,
                               std::int64_t num_tokens, const ContextOptions& device) {
  if (spec == kAutomaticAttention) {
    const std::string slow = why_slow(parse_attention("psa:balanced"), device);
    if (num_tokens >= kSparseFromTokens && !slow.empty())
      return concat(attention.name, " (auto: sparse is slower with ", slow, ")");
    return concat(attention.name, " (auto: ", num_tokens, " tokens, sparse is faster from ",
                  kSparseFromTokens, " on)");
  }
  if (const std::string slow = why_slow(attention, device); !slow.empty())
    return concat(attention.name, " (slower than dense: ", slow, ")");
  if (attention.kind == AttentionKind::kPyramid && num_tokens < kSparseFromTokens)
    return concat(attention.name, " (", num_tokens, " tokens; auto is dense below ",
                  kSparseFromTokens, ")");
  return attention.name;
}

}  // namespace psagen::engine
