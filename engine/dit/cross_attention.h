// Video tokens attend to text (spec/wan 3.5, 2.4).
#pragma once

#include <cstdint>
#include <vector>

#include "engine/dit/activations.h"
#include "engine/nn/linear.h"
#include "engine/nn/norm.h"

namespace psagen::engine {

// Keys and values of one layer; they depend on the prompt alone, so they are computed once.
struct TextKeysValues {
  Tensor k;  // [1, S, C] of Context::score_dtype()
  Tensor v;  // [1, S, C]
};

// What the blocks need of a prompt.
struct TextContext {
  Tensor key_log_weight;  // [1, S]; none where every row counts once
  std::vector<TextKeysValues> layers;
};

class CrossAttention {
 public:
  CrossAttention(const TransformerConfig& config, const Weights& weights);

  // text [1, S, C]: the prompt after the text projection.
  TextKeysValues project_text(kernels::Ops& ops, ConstTensorView text) const;

  // x = x + Wo attention(h, text) + bo, in a.x; reads a.h, which it also uses as scratch.
  void add_to(kernels::Ops& ops, const TextKeysValues& text, ConstTensorView key_log_weight,
              DitActivations& a) const;

 private:
  void project(kernels::Ops& ops, DitActivations& a) const;

  std::int64_t num_heads_;
  std::int64_t head_dim_;
  Linear to_q_, to_k_, to_v_, to_out_;
  RmsNorm norm_q_, norm_k_;
};

}  // namespace psagen::engine
