// Frames put together from their tiles in host memory. Tiles come one after the other, each from
// the first frame to the last; with the last tile frames are whole, and are handed on as they come.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "engine/vae/decode_tile.h"
#include "kernels/core/tensor.h"

namespace psagen::engine {

class FrameAssembly {
 public:
  using Sink = std::function<void(ConstTensorView frames)>;

  // `frames` is the shape of the clip, [T, H, W, channels]. With one tile nothing is kept: what
  // comes is handed on as it is.
  FrameAssembly(DType dtype, const Shape& frames, std::vector<DecodeTile> tiles, Sink sink);

  // The next frames of the tile at hand: [T', its height, its width, channels], in host memory.
  void add(ConstTensorView part);

 private:
  void place(ConstTensorView part);

  std::vector<DecodeTile> tiles_;
  Sink sink_;
  CpuAllocator memory_;
  Tensor frames_;
  std::int64_t total_;
  std::size_t tile_ = 0;
  std::int64_t done_ = 0;  // frames of the tile at hand
};

}  // namespace psagen::engine
