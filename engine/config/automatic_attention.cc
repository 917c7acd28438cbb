#include "engine/config/automatic_attention.h"

#include "kernels/core/error.h"

namespace psagen::engine {

AttentionConfig resolve_attention(const std::string& spec, std::int64_t num_tokens) {
  if (spec != kAutomaticAttention) return parse_attention(spec);
  return parse_attention(num_tokens >= kSparseFromTokens ? "psa:balanced" : "dense");
}

std::string describe_attention(const AttentionConfig& attention, std::string_view spec,
                               std::int64_t num_tokens) {
  if (spec == kAutomaticAttention)
    return concat(attention.name, " (auto: ", num_tokens, " tokens, sparse is faster from ",
                  kSparseFromTokens, " on)");
  if (attention.kind == AttentionKind::kPyramid && num_tokens < kSparseFromTokens)
    return concat(attention.name, " (", num_tokens, " tokens; auto is dense below ",
                  kSparseFromTokens, ")");
  return attention.name;
}

}  // namespace psagen::engine
