#include "engine/vae/frame_assembly.h"

#include <cstring>
#include <utility>

#include "kernels/core/error.h"

namespace psagen::engine {

FrameAssembly::FrameAssembly(DType dtype, const Shape& frames, std::vector<DecodeTile> tiles,
                             Sink sink)
    : tiles_(std::move(tiles)), sink_(std::move(sink)), total_(frames[0]) {
  if (tiles_.size() > 1) frames_ = Tensor(memory_, dtype, frames);
}

void FrameAssembly::add(ConstTensorView part) {
  PSAGEN_ASSERT(tile_ < tiles_.size() && done_ + part.dim(0) <= total_);
  const std::int64_t end = done_ + part.dim(0);
  ConstTensorView whole = part;
  if (tiles_.size() > 1) {
    place(part);
    whole = frames_.view().slice(0, done_, end);
  }
  if (tile_ + 1 == tiles_.size() && sink_) sink_(whole);
  done_ = end;
  if (done_ < total_) return;
  done_ = 0;
  ++tile_;
}

void FrameAssembly::place(ConstTensorView part) {
  const PixelSpan rows = tiles_[tile_].rows.output, columns = tiles_[tile_].columns.output;
  const TensorView target = frames_.view()
                                .slice(0, done_, done_ + part.dim(0))
                                .slice(1, rows.begin, rows.end)
                                .slice(2, columns.begin, columns.end);
  const std::size_t element = dtype_size(part.dtype());
  const std::size_t row_bytes = static_cast<std::size_t>(part.dim(2) * part.dim(3)) * element;
  const std::byte* from = part.bytes();
  for (std::int64_t frame = 0; frame < part.dim(0); ++frame)
    for (std::int64_t row = 0; row < part.dim(1); ++row, from += row_bytes) {
      const std::int64_t offset = frame * target.stride(0) + row * target.stride(1);
      std::memcpy(target.bytes() + offset * static_cast<std::int64_t>(element), from, row_bytes);
    }
}

}  // namespace psagen::engine
