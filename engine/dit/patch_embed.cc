#include "engine/dit/patch_embed.h"

namespace psagen::engine {

PatchEmbed::PatchEmbed(const TransformerConfig& config, const Weights& weights)
    // Float32: what is rounded here is rounded for good, and the product is a small one.
    : weight_(weights.get({config.dim(), config.in_channels, 1, 2, 2}, "weight",
                          Weights::Use::kValues)),
      bias_(weights.get({config.dim()}, "bias")) {}

void PatchEmbed::operator()(kernels::Ops& ops, ConstTensorView latent, ConstTensorView order,
                            TensorView patches, TensorView x) const {
  ops.patchify({.latent = latent, .order = order, .tokens = patches});
  const ConstTensorView kernel = weight_;
  ops.linear({.x = patches,
              .weight = kernel.reshape({kernel.dim(0), kPatchArea * kernel.dim(1)}),
              .bias = bias_,
              .y = x});
}

}  // namespace psagen::engine
