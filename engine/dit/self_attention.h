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

  // y = Wo attention(h) + bo, in a.y; reads a.h, which it also uses as scratch.
  ConstTensorView forward(kernels::Ops& ops, const StepPosition& position, DitActivations& a) const;

 private:
  enum class Side { kQueries, kKeys };
  void project(kernels::Ops& ops, Side side, bool pool, DitActivations& a) const;
  void norm(kernels::Ops& ops, Side side, ConstTensorView rows, std::int64_t begin, bool pool,
            DitActivations& a) const;
  double scale() const;
  void attend(kernels::Ops& ops, const AttentionChoice& choice, bool pooled,
              DitActivations& a) const;

  std::int64_t layer_;
  std::int64_t num_heads_;
  std::int64_t head_dim_;
  Linear to_q_, to_k_, to_v_, to_out_;
  RmsNorm norm_q_, norm_k_;
};

}  // namespace psagen::engine
