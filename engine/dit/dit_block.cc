#include "engine/dit/dit_block.h"

namespace psagen::engine {

DitBlock::DitBlock(const TransformerConfig& config, std::int64_t layer, const Weights& weights,
                   kernels::Ops& ops)
    : modulation_(6, config.dim(), weights, ops),
      norm1_(config.eps),
      attn1_(config, layer, weights.child("attn1")),
      norm2_(config.dim(), config.eps, weights.child("norm2")),
      attn2_(config, weights.child("attn2")),
      norm3_(config.eps),
      ffn_(config.dim(), config.ffn_dim, weights.child("ffn")) {}

void DitBlock::forward(kernels::Ops& ops, const StepPosition& position, const TextKeysValues& text,
                       ConstTensorView key_log_weight, DitActivations& a) const {
  const BlockModulation m = modulation_.block_rows(ops, a.time.e0, a.modulation);  // rows [B,C]
  norm1_(ops, a.x, m.attention.scale, m.attention.shift, a.h);  // h = LN(x) (1 + scale) + shift
  attn1_.add_to(ops, position, m.attention.gate, a);            // x = x + gate attention(h)
  norm2_(ops, a.x, a.h);                                        // h = LN(x) w + b      [B,L,C]
  attn2_.add_to(ops, text, key_log_weight, a);                  // x = x + attention(h, text)
  norm3_(ops, a.x, m.ffn.scale, m.ffn.shift, a.h);              // h = LN(x) (1 + scale) + shift
  ffn_.add_gated_to(ops, a.h, m.ffn.gate, a.hidden, a.x);       // x = x + gate FFN(h)
}

}  // namespace psagen::engine
