// UMT5 text encoder (spec/wan 2.3; Hugging Face UMT5EncoderModel): token ids -> one vector a token.
// Only real tokens are run; a padded key would get exactly zero weight.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/config/model_config.h"
#include "engine/nn/embedding.h"
#include "engine/nn/feed_forward.h"
#include "engine/nn/norm.h"
#include "engine/text/relative_bias.h"
#include "engine/weights/weights.h"
#include "kernels/ops.h"

namespace psagen::engine {

// Everything a layer writes, for sequences of up to S tokens. The residual streams are not here:
// there is one for every prompt.
struct Umt5Activations {
  Umt5Activations(kernels::Ops& ops, const TextEncoderConfig& config, std::int64_t length);
  // The same memory for a shorter sequence.
  struct Views {
    TensorView h;          // [1, S, d_model]
    TensorView q, k, v;    // [1, S, N * d_kv]
    TensorView attended;   // [1, S, N * d_kv]
    TensorView diagonals;  // [N, 2 S - 1]
    TensorView bias;       // [N, S, S]
    TensorView gate, up;   // [1, S, d_ff]
  };
  Views views(std::int64_t length);

 private:
  Tensor h_, q_, k_, v_, attended_, diagonals_, bias_, gate_, up_;
};

class Umt5Block {
 public:
  Umt5Block(const TextEncoderConfig& config, const Weights& weights, kernels::Ops& ops);
  // x [1, S, d_model] in place.
  void forward(kernels::Ops& ops, const Umt5Activations::Views& a, TensorView x) const;

 private:
  std::int64_t num_heads_;
  std::int64_t d_kv_;
  RmsNorm attention_norm_;
  Linear q_, k_, v_, o_;
  RelativeBias relative_bias_;
  RmsNorm ffn_norm_;
  GatedFeedForward ffn_;
};

class Umt5Encoder {
 public:
  using LayerDone = std::function<void(std::int64_t done, std::int64_t total)>;

  Umt5Encoder(const TextEncoderConfig& config, const Weights& weights, kernels::Ops& ops);

  // One [1, S, d_model] float32 tensor for each of the prompts, S being its number of ids (at least
  // one). Layer by layer over all prompts, giving each layer's weights back to the operating system
  // when they are used: the published encoder is 22.7 GB in float32.
  std::vector<Tensor> encode(kernels::Ops& ops, std::span<const std::vector<std::int32_t>> prompts,
                             const LayerDone& layer_done = {}) const;

 private:
  TextEncoderConfig config_;
  Weights weights_;
  Embedding embedding_;
  std::vector<Umt5Block> blocks_;
  RmsNorm final_norm_;
};

}  // namespace psagen::engine
