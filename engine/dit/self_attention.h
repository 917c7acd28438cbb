// Spatiotemporal attention: project, normalise, rotate, ask the policy, attend (spec/wan 3.5).
#pragma once

#include <cstdint>

#include "engine/dit/activations.h"
#include "engine/dit/attention_policy.h"
#include "engine/nn/linear.h"
#include "engine/nn/norm.h"

namespace psagen::engine {

class SelfAttention {
 public:
  SelfAttention(const TransformerConfig& config, std::int64_t layer, const Weights& weights);

  // x = x + gate (Wo attention(h) + bo); reads a.h, which it also uses as scratch.
  void add_to(kernels::Ops& ops, const StepPosition& position, ConstTensorView gate,
              DitActivations& a) const;

 private:
  void attend(kernels::Ops& ops, const AttentionChoice& choice, DitActivations& a) const;

  std::int64_t layer_;
  std::int64_t num_heads_;
  std::int64_t head_dim_;
  Linear to_q_, to_k_, to_v_, to_out_;
  RmsNorm norm_q_, norm_k_;
};

}  // namespace psagen::engine
