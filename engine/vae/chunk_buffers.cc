#include "engine/vae/chunk_buffers.h"

#include <utility>

namespace psagen::engine {
namespace {

// Views start where the allocator would start a tensor.
constexpr std::int64_t kAlignment = 256;

std::int64_t size_of(std::int64_t elements, DType dtype) {
  return elements * static_cast<std::int64_t>(dtype_size(dtype));
}

}  // namespace

ChunkBuffers::ChunkBuffers(Allocator& allocator, std::int64_t capacity, DType dtype,
                           std::int64_t lead)
    : dtype_(dtype),
      capacity_bytes_(size_of(capacity, dtype)),
      lead_bytes_((size_of(lead, dtype) + kAlignment - 1) / kAlignment * kAlignment) {
  for (Tensor& buffer : buffers_)
    buffer = Tensor(allocator, DType::kU8, {lead_bytes_ + capacity_bytes_});
}

void ChunkBuffers::set_x(TensorView next) {
  const bool is_first = next.bytes() == start_of(spare_[0]);
  PSAGEN_ASSERT(is_first || next.bytes() == start_of(spare_[1]));
  std::swap(current_, spare_[is_first ? 0 : 1]);
  x_ = next;
}

TensorView ChunkBuffers::lead_of(const TensorView& view, std::int64_t frames) {
  Shape shape = view.shape();
  shape[0] = frames;
  const std::int64_t bytes = size_of(shape.num_elements(), view.dtype());
  if (bytes > lead_bytes_) return {};
  for (int buffer = 0; buffer < 3; ++buffer)
    if (view.bytes() == start_of(buffer))
      return {view.bytes() - bytes, view.dtype(), shape, view.device()};
  return {};
}

TensorView ChunkBuffers::view(int buffer, const Shape& shape, DType dtype) {
  const std::int64_t bytes = size_of(shape.num_elements(), dtype);
  PSAGEN_CHECK(bytes <= capacity_bytes_, ErrorCode::kInternal, "an activation of shape ", shape,
               " has ", bytes, " bytes, its buffer ", capacity_bytes_);
  return {start_of(buffer), dtype, shape, buffers_[buffer].view().device()};
}

}  // namespace psagen::engine
