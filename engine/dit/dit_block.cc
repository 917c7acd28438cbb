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

PendingResidual DitBlock::forward(kernels::Ops& ops, const PendingResidual& before,
                                  const StepPosition& position, const TextKeysValues& text,
                                  ConstTensorView key_log_weight, TensorView modulation,
                                  TensorView nonfinite, DitActivations& a) const {
  const BlockModulation m = modulation_.block_rows(ops, a.time.e0, modulation);  // rows [B,C]
  norm1_.add(ops, before, a.x, m.attention.scale, m.attention.shift, a.h);  // h = LN(x) modulated
  const ConstTensorView attended = attn1_.forward(ops, position, a);        // y = attention(h)
  // x += gate y, h = LN(x) w + b
  norm2_.add(ops, {.y = attended, .gate = m.attention.gate}, a.x, {}, {}, a.h);
  attn2_.add_to(ops, text, key_log_weight, a);                      // x += attention(h, text)
  norm3_.add(ops, {}, a.x, m.ffn.scale, m.ffn.shift, a.h);          // h = LN(x) modulated
  ffn_(ops, a.h, a.hidden, a.ffn);                                  // y = FFN(h)  [B,L,C]
  return {.y = a.ffn, .gate = m.ffn.gate, .nonfinite = nonfinite};  // x += gate y, by the next norm
}

}  // namespace psagen::engine
