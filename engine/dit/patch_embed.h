// Latent <-> tokens (spec/wan 3.3 and 3.6). Patches are 1 x 2 x 2 in every published Wan model.
#pragma once

#include <cstdint>

#include "engine/config/model_config.h"
#include "engine/weights/weights.h"
#include "kernels/ops.h"

namespace psagen::engine {

inline constexpr std::int64_t kPatchArea = 4;

class PatchEmbed {
 public:
  // Reads `patch_embedding` [C, Cin, 1, 2, 2] with its bias: a convolution whose stride is its
  // kernel, that is a matrix on flattened patches.
  PatchEmbed(const TransformerConfig& config, const Weights& weights);

  // x = patches W' + b; latent [B, Cin, T, H, W], order as in PatchifyArgs, patches [B, L, 4 Cin]
  // scratch, x [B, L, C].
  void operator()(kernels::Ops& ops, ConstTensorView latent, ConstTensorView order,
                  TensorView patches, TensorView x) const;

 private:
  Parameter weight_;
  Parameter bias_;
};

}  // namespace psagen::engine
