// Which self-attention a layer computes at a step: a pure function of the configuration.
#pragma once

#include <cstdint>

#include "engine/config/attention_config.h"

namespace psagen::engine {

struct StepPosition {
  std::int64_t step = 0;  // 0 .. num_steps - 1
  std::int64_t num_steps = 1;
};

struct AttentionChoice {
  AttentionKind kind = AttentionKind::kDense;
  std::uint64_t seed = 0;  // of the sampled importance estimator; differs by step and layer
};

// Steps that run dense before the sparse ones begin: `warmup_steps` where it is given, else
// `warmup_share` of the steps, rounded up (psa.md 5.1: the presets keep 15 of 50).
std::int64_t num_warmup_steps(const AttentionConfig& config, std::int64_t num_steps);

AttentionChoice choose_attention(const AttentionConfig& config, const StepPosition& position,
                                 std::int64_t layer);

}  // namespace psagen::engine
