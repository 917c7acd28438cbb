// What the parts of a model compute, 2 for each multiply-add: products, convolutions and attention
// (spec/wan 8). Sparse attention is counted as the dense one it stands for.
#pragma once

#include "engine/config/model_config.h"
#include "kernels/core/tensor.h"

namespace psagen::engine {

// Of one forward without guidance; keys and values of the text are left out, as they are computed
// once per prompt.
double forward_flops(const TransformerConfig& config, double tokens, double text_tokens);
// Of the text encoder on a prompt of so many tokens.
double text_flops(const TextEncoderConfig& config, double tokens);
// Of one decode of a latent [1, C, T, h, w], as its ops are called: the zeros before a clip's first
// frame among what convolutions look at.
double decode_flops(const VaeConfig& config, const Shape& latent);

}  // namespace psagen::engine
