// Wan 2.1 video decoder: a normalised latent becomes RGB frames, a few latent frames at a time
// (spec/wan 4.1 to 4.3; layer names of the Diffusers layout, 1.8).
//
// Every convolution looks only into the past, so a clip is decoded in chunks of latent frames; what
// a convolution needs of earlier chunks is kept in its context. The result does not depend on the
// chunk size, and memory does not depend on the clip's length. Where that is too much memory,
// frames are decoded in tiles, with the same result (decode_split.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "engine/config/model_config.h"
#include "engine/vae/decode_split.h"
#include "engine/weights/weights.h"
#include "kernels/core/tensor.h"
#include "kernels/ops.h"

namespace psagen::engine {

class DecoderNetwork;

// Latent frames finished and wanted, those of each tile counted; called once per chunk. Returning
// false cancels.
using DecodeProgress = std::function<bool(std::int64_t done, std::int64_t total)>;

class VaeDecoder {
 public:
  // Receives [T', H, W, 3] in host memory, the next T' frames of the clip; the memory is used again
  // afterwards.
  using FrameSink = std::function<void(ConstTensorView rgb)>;

  // `weights` stands at the root of the VAE's checkpoint. Reads every tensor a decoder needs and
  // marks the encoder's as known, so that expect_all_read() holds afterwards.
  VaeDecoder(const VaeConfig& config, const Weights& weights, kernels::Ops& ops);
  ~VaeDecoder();
  VaeDecoder(VaeDecoder&&) noexcept;
  VaeDecoder& operator=(VaeDecoder&&) noexcept;

  // latent: [1, C, T, h, w] float32, normalised. The sink gets U8 frames in order: first 1 + 4 (n -
  // 1) of them, then 4 n a time (n = split.latent_frames_per_chunk; 4 is the temporal stride). Not
  // given, n is what suits the device: 1 on the CPU, on a GPU as many as fit into 4 GB beside the
  // weights, but 4 at most. On a GPU a chunk's frames come, and its progress is reported, when the
  // chunk after it has been queued; in tiles, frames come while the last tile is decoded. Throws
  // Error(kCancelled) where `progress` says so, Error(kNumeric) after the last frame where any
  // value was NaN or infinite; either callback may be empty.
  void decode(kernels::Ops& ops, ConstTensorView latent, const FrameSink& sink,
              const DecodeProgress& progress, const DecodeSplit& split = {}) const;

  // The same, but the sink gets float32 values as they leave the network, nominally in [-1, 1] and
  // not yet clamped.
  void decode_values(kernels::Ops& ops, ConstTensorView latent, const FrameSink& sink,
                     const DecodeProgress& progress, const DecodeSplit& split = {}) const;

 private:
  enum class Output { kRgb8, kValues };

  void run(kernels::Ops& ops, ConstTensorView latent, Output output, const FrameSink& sink,
           const DecodeProgress& progress, const DecodeSplit& split) const;

  std::unique_ptr<const DecoderNetwork> network_;
};

}  // namespace psagen::engine
