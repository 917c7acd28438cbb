// The layers of the decoder in two parts (spec/wan 4.1 to 4.3). The middle part works at the size
// of the latent and, by its attention, sees whole frames; of the upper part, which doubles the
// frame three times and does nearly all of the work, a pixel sees some pixels around it. So the
// upper part can be computed tile by tile (decode_tile.h), the middle part cannot and need not.
//
// Activations are [T, H, W, C] in ChunkBuffers; what a part remembers between chunks is its state.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/config/model_config.h"
#include "engine/nn/causal_conv3d.h"
#include "engine/vae/chunk_buffers.h"
#include "engine/vae/decode_tile.h"
#include "engine/vae/decoder_blocks.h"
#include "engine/weights/weights.h"
#include "kernels/ops.h"

namespace psagen::engine {

// Elements of the buffers that a chunk passes through, and of what lies in front of them: frames
// that convolutions remember.
struct BufferSize {
  std::int64_t capacity = 0, lead = 0;
};

class DecoderNetwork {
 public:
  struct MiddleState {
    CausalConv3d::Context conv_in;
    MidBlock::State mid_block;
  };
  struct UpperState {
    std::vector<UpBlock::State> up_blocks;
    CausalConv3d::Context conv_out;
  };

  DecoderNetwork(const VaeConfig& config, const Weights& weights, kernels::Ops& ops);

  const VaeConfig& config() const { return config_; }
  const std::vector<UpBlockShape>& stages() const { return stages_; }
  std::int64_t middle_channels() const { return stages_[0].in; }

  MiddleState make_middle(Allocator& allocator, std::int64_t height, std::int64_t width) const;
  UpperState make_upper(Allocator& allocator, const DecodeTile& tile) const;

  // For chunks of `frames` latent frames; no chunk has more than one that is not the clip's first.
  // `element_bytes`: of activations. The last frames are float32 whatever the rest is.
  BufferSize middle_size(std::int64_t frames, std::int64_t height, std::int64_t width) const;
  BufferSize upper_size(std::int64_t frames, const DecodeTile& tile,
                        std::int64_t element_bytes) const;

  // latent [T, h, w, z] -> the buffers' x [T, h, w, middle_channels()].
  void middle(kernels::Ops& ops, ConstTensorView latent, MiddleState& state,
              ChunkBuffers& buffers) const;
  // The buffers' x, the tile's input of the first stage -> its frames [T', H, W, 3], float32, which
  // lie in the buffers.
  TensorView upper(kernels::Ops& ops, const DecodeTile& tile, UpperState& state,
                   ChunkBuffers& buffers) const;

 private:
  // Pixels of a tile behind a stage, before it is cut.
  PixelSpan behind(std::size_t stage, const TileAxis& axis) const;

  VaeConfig config_;
  std::vector<UpBlockShape> stages_;
  CausalConv3d post_quant_conv_;
  CausalConv3d conv_in_;
  MidBlock mid_block_;
  std::vector<UpBlock> up_blocks_;
  ChannelNorm norm_out_;
  CausalConv3d conv_out_;
};

}  // namespace psagen::engine
