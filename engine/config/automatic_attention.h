// `--attention auto`: dense or sparse by the number of tokens, so that the same settings make the
// same clip on every machine; but dense where this one computes sparse attention more slowly.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/config/attention_config.h"
#include "kernels/core/context.h"

namespace psagen::engine {

inline constexpr std::string_view kAutomaticAttention = "auto";

// From this many tokens on psa:balanced takes less time than dense attention: the table "Where it
// pays" in docs/attention.md.
inline constexpr std::int64_t kSparseFromTokens = 4096;

// "auto", or anything that parse_attention takes, on a device. The result's spec is never "auto".
AttentionConfig resolve_attention(const std::string& spec, std::int64_t num_tokens,
                                  const ContextOptions& device = {});

// Why this sparse attention takes longer there than dense, whatever the number of tokens: "float32
// on a GPU". Empty where it does not.
std::string why_slow(const AttentionConfig& attention, const ContextOptions& device);

// For the line that describes a run: the attention, and why it was chosen or where another would be
// faster. `spec` is what was asked for.
std::string describe_attention(const AttentionConfig& attention, std::string_view spec,
                               std::int64_t num_tokens, const ContextOptions& device = {});

}  // namespace psagen::engine
