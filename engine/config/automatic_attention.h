// `--attention auto`: dense or sparse by the number of tokens alone, so that the same settings make
// the same clip on every machine.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/config/attention_config.h"

namespace psagen::engine {

inline constexpr std::string_view kAutomaticAttention = "auto";

// From this many tokens on psa:balanced takes less time than dense attention: the table "Where it
// pays" in docs/attention.md.
inline constexpr std::int64_t kSparseFromTokens = 4096;

// "auto", or anything that parse_attention takes. The result's spec is never "auto".
AttentionConfig resolve_attention(const std::string& spec, std::int64_t num_tokens);

// For the line that describes a run: the attention, and why it was chosen or where another would be
// faster. `spec` is what was asked for.
std::string describe_attention(const AttentionConfig& attention, std::string_view spec,
                               std::int64_t num_tokens);

}  // namespace psagen::engine
