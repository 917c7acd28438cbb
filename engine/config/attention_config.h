// How self-attention is computed, by step: dense, pyramid sparse (PSA), or plain block-sparse.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/config/attention_override.h"
#include "kernels/psa/psa_params.h"

namespace psagen::engine {

enum class AttentionKind { kDense, kPyramid };

struct AttentionConfig {
  // dense | psa[:PRESET] | block-sparse[:PRESET], as parse_attention takes it: as the user wrote
  // it, but the name of a preset file replaced by what it holds, so that it says the same later.
  std::string spec = "dense";
  std::string name = "dense";  // as the user wrote it
  AttentionKind kind = AttentionKind::kDense;
  kernels::PsaParams psa;          // block-sparse is PSA whose levels are 1 and skip only
  double warmup_share = 0.0;       // this share of the steps, rounded up, runs dense first
  std::int64_t warmup_steps = -1;  // overrides warmup_share where >= 0
  bool reorder_tokens = true;      // pyramid token order, applied once per forward
  // Of those that match a layer, head and step the last counts. Warm-up steps know none.
  std::vector<AttentionOverride> overrides;
  bool reuse_across_guidance = false;  // a step's second forward takes the levels of the first
  std::int64_t reuse_steps = 1;        // a layer's levels serve that many of its sparse steps
};

// Parses `dense`, `psa`, `psa:PRESET`, `block-sparse`, `block-sparse:PRESET`. PRESET is one of the
// files configs/attention/PRESET.json (compiled into the program; an unknown one is an error that
// lists those there are or names the nearest), a path that contains '/' or ends in ".json", or the
// JSON of a preset itself, from '{' on. `block-sparse` spends on full resolution what the preset's
// quotas spend on all levels; a preset by threshold has no such budget, which is an error.
AttentionConfig parse_attention(const std::string& spec);

// One preset file. Unknown keys, wrong types and values out of range throw
// Error(kInvalidArgument) that names `file` and the key. `spec` is left as it is.
AttentionConfig parse_attention_preset(std::string_view json, const std::string& file);

std::vector<std::string> attention_preset_names();

}  // namespace psagen::engine
