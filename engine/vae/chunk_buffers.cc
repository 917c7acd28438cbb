#include "engine/vae/chunk_buffers.h"

#include <utility>

namespace psagen::engine {

ChunkBuffers::ChunkBuffers(Allocator& allocator, std::int64_t capacity) {
  for (Tensor& buffer : buffers_) buffer = Tensor(allocator, DType::kF32, {capacity});
}

void ChunkBuffers::set_x(TensorView next) {
  const bool is_first = next.bytes() == buffers_[spare_[0]].view().bytes();
  PSAGEN_ASSERT(is_first || next.bytes() == buffers_[spare_[1]].view().bytes());
  std::swap(current_, spare_[is_first ? 0 : 1]);
  x_ = next;
}

TensorView ChunkBuffers::view(int buffer, const Shape& shape) {
  return buffers_[buffer].view().slice(0, 0, shape.num_elements()).reshape(shape);
}

}  // namespace psagen::engine
