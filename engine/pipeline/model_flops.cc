#include "engine/pipeline/model_flops.h"

#include <memory>

#include "engine/vae/decoder.h"
#include "engine/weights/random_weights.h"
#include "kernels/backend.h"

namespace psagen::engine {

double forward_flops(const TransformerConfig& config, double tokens, double text_tokens) {
  const double dim = static_cast<double>(config.dim());
  const double layer = 4 * tokens * tokens * dim         // self-attention
                       + 8 * tokens * dim * dim          // q, k, v, o
                       + 4 * tokens * dim * dim          // cross-attention q, o
                       + 4 * tokens * text_tokens * dim  // its scores and values
                       + 4 * tokens * dim * static_cast<double>(config.ffn_dim);
  return static_cast<double>(config.num_layers) * layer;
}

double text_flops(const TextEncoderConfig& config, double tokens) {
  const double d = static_cast<double>(config.d_model);
  const double inner = static_cast<double>(config.num_heads * config.d_kv);
  return static_cast<double>(config.num_layers) *
         (8 * tokens * d * inner + 6 * tokens * d * static_cast<double>(config.d_ff) +
          4 * tokens * tokens * inner);
}

double decode_flops(const VaeConfig& config, const Shape& latent) {
  const auto context =
      kernels::make_plan_context({.device = {DeviceKind::kCuda, 0}, .compute_dtype = DType::kBF16});
  const std::unique_ptr<kernels::Ops> ops = kernels::make_ops(*context);
  const VaeDecoder decoder(config, Weights(std::make_shared<RandomWeights>(), *context), *ops);
  const Tensor frames(context->allocator(), DType::kF32, latent);
  const double before = kernels::planned_flops(*ops);
  decoder.decode(*ops, frames, [](ConstTensorView) {}, {});
  return kernels::planned_flops(*ops) - before;
}

}  // namespace psagen::engine
