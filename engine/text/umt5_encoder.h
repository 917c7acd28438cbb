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

// Several prompts lie one after the other in one tensor of S rows, so that a layer's weights are
// read and widened once for all of them; only attention looks at each alone.
struct PromptRows {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t length() const { return end - begin; }
};

// What the encoder computes in: the context's type, but bfloat16 where that is float16, whose range
// the feed-forward of the published weights leaves (spec/wan 7.2).
DType umt5_dtype(const Context& context);

// Everything a layer writes, named and allocated once.
struct Umt5Activations {
  Umt5Activations(kernels::Ops& ops, const TextEncoderConfig& config, std::int64_t num_rows,
                  std::int64_t longest_prompt);
  Tensor x;          // [1, S, d_model] residual stream, float32
  Tensor h;          // [1, S, d_model]
  Tensor q, k, v;    // [1, S, N * d_kv]
  Tensor attended;   // [1, S, N * d_kv]
  Tensor diagonals;  // [N * (2 P - 1)] for the longest prompt, P tokens
  Tensor bias;       // [N * P * P] likewise
  Tensor gate, up;   // [1, S, d_ff]
};

class Umt5Block {
 public:
  Umt5Block(const TextEncoderConfig& config, const Weights& weights, kernels::Ops& ops);
  // a.x in place.
  void forward(kernels::Ops& ops, std::span<const PromptRows> prompts, Umt5Activations& a) const;

 private:
  void attend(kernels::Ops& ops, const PromptRows& rows, Umt5Activations& a) const;

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
  // `x` [1, S, d_model] is what the layer left.
  using LayerDone = std::function<void(std::int64_t done, std::int64_t total, ConstTensorView x)>;

  // `layers_in_turn`: a layer's weights are read when it is needed and given up after it; a GPU
  // then holds the token table and one layer. What is wrong with them shows in encode().
  Umt5Encoder(const TextEncoderConfig& config, const Weights& weights, kernels::Ops& ops,
              bool layers_in_turn = false);

  // One [1, S, d_model] tensor of umt5_dtype() for each of the prompts, S being its number of ids
  // (at least one). Each layer's weights are given back to the operating system once they are used:
  // the published encoder is 22.7 GB in float32.
  std::vector<Tensor> encode(kernels::Ops& ops, std::span<const std::vector<std::int32_t>> prompts,
                             const LayerDone& layer_done = {}) const;

 private:
  Umt5Block block(std::int64_t index, kernels::Ops& ops) const;

  TextEncoderConfig config_;
  Weights weights_;
  Embedding embedding_;
  std::vector<Umt5Block> blocks_;  // none where they are read in turn
  RmsNorm final_norm_;
};

}  // namespace psagen::engine
