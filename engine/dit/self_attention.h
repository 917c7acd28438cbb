// Spatiotemporal attention: project, normalise, rotate, ask the policy, attend (spec/wan 3.5).
#pragma once

#include <cstdint>
#include <vector>

#include "engine/dit/activations.h"
#include "engine/dit/attention_policy.h"
#include "engine/nn/linear.h"
#include "engine/nn/norm.h"

namespace psagen::engine {

class SelfAttention {
 public:
  // `may_stack`: the weights of q and k may be copied into one.
  SelfAttention(const TransformerConfig& config, std::int64_t layer, const Weights& weights,
                kernels::Ops& ops, bool may_stack);

  // y = Wo attention(h) + bo, in a.y; reads a.h, which it also uses as scratch.
  ConstTensorView forward(kernels::Ops& ops, const StepPosition& position, DitActivations& a) const;

 private:
  void project(kernels::Ops& ops, bool pool, DitActivations& a) const;
  void norm(kernels::Ops& ops, ConstTensorView q, ConstTensorView k, std::int64_t begin, bool pool,
            DitActivations& a) const;
  double scale() const;
  void attend(kernels::Ops& ops, const AttentionChoice& choice, bool pooled,
              DitActivations& a) const;

  std::int64_t layer_;
  std::int64_t num_heads_;
  std::int64_t head_dim_;
  std::vector<Linear> to_qk_;  // two, or one whose rows are those of the two
  Linear to_v_, to_out_;
  RmsNorm norm_q_, norm_k_;
};

}  // namespace psagen::engine
