// Which self-attention a layer computes at a step: a pure function of the configuration.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/config/attention_config.h"

namespace psagen::engine {

struct StepPosition {
  std::int64_t step = 0;  // 0 .. num_steps - 1
  std::int64_t num_steps = 1;
  std::int64_t forward = 0;  // of the step; with guidance the second has the negative prompt
  std::int64_t num_forwards = 1;
};

struct AttentionChoice {
  AttentionKind kind = AttentionKind::kDense;
  std::uint64_t seed = 0;  // of the sampled importance estimator; differs by step and layer
  // Of each head, where an override gives them; empty: config.psa.level_bounds for all.
  std::vector<kernels::LevelBounds> head_bounds = {};
  std::int64_t slot = 0;  // kernels::PsaSelection
  bool reuse = false;
};

// Steps that run dense before the sparse ones begin: `warmup_steps` where it is given, else
// `warmup_share` of the steps, rounded up (psa.md 5.1: the presets keep 15 of 50).
std::int64_t num_warmup_steps(const AttentionConfig& config, std::int64_t num_steps);

// Where every head of a layer is dense, so is the layer; one dense head among others has all of its
// blocks at level 1.
AttentionChoice choose_attention(const AttentionConfig& config, const StepPosition& position,
                                 std::int64_t layer, std::int64_t num_heads);

// How many layers' levels a run keeps for later forwards; 0 where it reuses none.
std::int64_t num_level_slots(const AttentionConfig& config, std::int64_t num_layers,
                             std::int64_t num_forwards);

}  // namespace psagen::engine
