// The Wan diffusion transformer: embed, blocks, head -> velocity (spec/wan 3; Diffusers
// WanTransformer3DModel).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "engine/config/model_config.h"
#include "engine/dit/activations.h"
#include "engine/dit/block_stream.h"
#include "engine/dit/dit_block.h"
#include "engine/dit/patch_embed.h"
#include "engine/dit/time_embed.h"
#include "engine/nn/linear.h"
#include "engine/nn/norm.h"

namespace psagen::engine {

class Dit {
 public:
  // `weights` stands at the root of the transformer's checkpoint. The last `streamed_blocks` blocks
  // are kept in host memory and pass through the GPU (block_stream.h); on the CPU it must be 0.
  Dit(const TransformerConfig& config, const Weights& weights, kernels::Ops& ops,
      std::int64_t streamed_blocks = 0);

  // Everything the blocks need of a prompt. encoded [1, S, text_dim]: the text encoder's rows of
  // the S <= max_text_tokens real tokens. The model was trained on max_text_tokens rows of which
  // the rest are zeros and are attended to as well; being equal, they become one key that counts
  // for all.
  TextContext encode_text(kernels::Ops& ops, ConstTensorView encoded,
                          std::int64_t max_text_tokens) const;

  // velocity [1, Cout, T, H, W] of latent [1, Cin, T, H, W] at `timestep` (0 .. 1000). `a` must
  // have been made for that latent's shape. Allocates nothing; adds to a.density.
  void forward(kernels::Ops& ops, ConstTensorView latent, double timestep,
               const StepPosition& position, const TextContext& text, DitActivations& a,
               TensorView velocity) const;

  const TransformerConfig& config() const { return config_; }

 private:
  // work(block) once its weights are there.
  template <typename Work>
  void run_block(std::size_t index, const Work& work) const;

  TransformerConfig config_;
  PatchEmbed patch_embedding_;
  TimeEmbed time_embed_;
  Linear text_linear_1_;
  Linear text_linear_2_;
  std::unique_ptr<BlockStream> stream_;  // null: every block is resident; outlives the blocks
  std::vector<DitBlock> blocks_;
  ModulationTable head_modulation_;
  LayerNorm norm_out_;
  Linear proj_out_;
};

}  // namespace psagen::engine
