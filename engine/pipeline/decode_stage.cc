#include "engine/pipeline/decode_stage.h"

#include <algorithm>
#include <span>

namespace psagen::engine {
namespace {

// Hands frames over one by one, those of an earlier attempt left out.
class FrameCounter {
 public:
  FrameCounter(std::int64_t num_frames, const FrameSink& sink, StageTracker& stages)
      : num_frames_(num_frames), sink_(sink), stages_(stages) {}

  void begin_attempt() { seen_ = 0; }

  // [T', H, W, 3] contiguous bytes.
  void add(ConstTensorView rgb) {
    const std::int64_t height = rgb.dim(1), width = rgb.dim(2);
    const std::size_t frame_bytes = static_cast<std::size_t>(height * width * 3);
    const std::span<const std::uint8_t> bytes(rgb.data<std::uint8_t>(), rgb.num_bytes());
    for (std::int64_t t = 0; t < rgb.dim(0); ++t) {
      if (seen_++ < done_) continue;
      sink_({.rgb = bytes.subspan(static_cast<std::size_t>(t) * frame_bytes, frame_bytes),
             .width = width,
             .height = height});
      ++done_;
    }
  }

  // In tiles frames are finished with the last of them: until then progress is the share of the
  // work. It never falls, in a second attempt neither.
  void tell(std::int64_t part, std::int64_t total) {
    told_ = std::max({told_, done_, num_frames_ * part / total});
    stages_.advance(told_);
  }

 private:
  std::int64_t num_frames_;
  const FrameSink& sink_;
  StageTracker& stages_;
  std::int64_t seen_ = 0, done_ = 0, told_ = 0;
};

std::vector<DecodeSplit> attempts(const DecodeSplit& first, VaeTiling tiling,
                                  ConstTensorView latent) {
  std::vector<DecodeSplit> splits = decode_splits(tiling, latent.dim(3), latent.dim(4));
  const auto at = std::find(splits.begin(), splits.end(), first);
  if (at == splits.end()) return {first};
  splits.erase(splits.begin(), at);
  return splits;
}

}  // namespace

DecodeSplit decode_clip(kernels::Ops& ops, const VaeDecoder& vae, ConstTensorView latent,
                        std::int64_t num_frames, const DecodeSplit& first, VaeTiling tiling,
                        const FrameSink& sink, StageTracker& stages) {
  Context& context = ops.context();
  FrameCounter frames(num_frames, sink, stages);
  const std::vector<DecodeSplit> splits = attempts(first, tiling, latent);
  for (std::size_t i = 0;; ++i) {
    const DecodeSplit& split = splits[i];
    frames.begin_attempt();
    DecodeProgress tile_progress;
    if (split.is_tiled())
      tile_progress = [&frames](std::int64_t done, std::int64_t total) {
        frames.tell(done, total);
        return true;
      };
    try {
      vae.decode(
          ops, latent,
          [&](ConstTensorView rgb) {
            frames.add(rgb);
            if (!split.is_tiled()) frames.tell(0, 1);
          },
          tile_progress, split);
      return split;
    } catch (const Error& error) {
      const bool may_retry = error.code() == ErrorCode::kOutOfMemory &&
                             context.runtime() != nullptr && i + 1 < splits.size();
      if (!may_retry) throw;
    }
    context.workspace().trim();
    context.runtime()->release_unused();
  }
}

}  // namespace psagen::engine
