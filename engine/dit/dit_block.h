// One block of the diffusion transformer (spec/wan 3.5; Diffusers WanTransformerBlock, whose names
// it keeps: norm2 precedes cross-attention, norm3 the feed-forward).
#pragma once

#include <cstdint>

#include "engine/dit/activations.h"
#include "engine/dit/attention_policy.h"
#include "engine/dit/cross_attention.h"
#include "engine/dit/modulation.h"
#include "engine/dit/self_attention.h"
#include "engine/nn/feed_forward.h"
#include "engine/nn/norm.h"

namespace psagen::engine {

class DitBlock {
 public:
  DitBlock(const TransformerConfig& config, std::int64_t layer, const Weights& weights,
           kernels::Ops& ops);

  TextKeysValues project_text(kernels::Ops& ops, ConstTensorView text) const {
    return attn2_.project_text(ops, text);
  }

  // a.x in place, `before` added first; returns what the block leaves to be added, with `nonfinite`
  // [1] I32, which then counts rows of x that are not finite. Reads a.time.e0. `modulation`
  // [1, 6, C] is scratch that must last as long as the result.
  PendingResidual forward(kernels::Ops& ops, const PendingResidual& before,
                          const StepPosition& position, const TextKeysValues& text,
                          ConstTensorView key_log_weight, TensorView modulation,
                          TensorView nonfinite, DitActivations& a) const;

 private:
  ModulationTable modulation_;
  LayerNorm norm1_;
  SelfAttention attn1_;
  LayerNorm norm2_;
  CrossAttention attn2_;
  LayerNorm norm3_;
  FeedForward ffn_;
};

}  // namespace psagen::engine
