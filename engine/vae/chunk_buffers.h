// Memory for the activations of one chunk: three buffers of equal size that blocks pass around, so
// that no block allocates. At any time one holds the activation x; the other two are free.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/core/tensor.h"

namespace psagen::engine {

class ChunkBuffers {
 public:
  // `capacity` elements of `dtype` each, and in front of them memory for `lead` elements more that
  // nobody holds for longer than one op.
  ChunkBuffers(Allocator& allocator, std::int64_t capacity, DType dtype = DType::kF32,
               std::int64_t lead = 0);

  // The activation that one block hands to the next.
  const TensorView& x() const { return x_; }

  // Views of the two free buffers.
  TensorView first_spare(const Shape& shape) { return first_spare(shape, dtype_); }
  TensorView first_spare(const Shape& shape, DType dtype) { return view(spare_[0], shape, dtype); }
  TensorView second_spare(const Shape& shape) { return second_spare(shape, dtype_); }
  TensorView second_spare(const Shape& shape, DType dtype) { return view(spare_[1], shape, dtype); }

  // Makes a view of a free buffer the activation; the buffer of the last one becomes free.
  void set_x(TensorView next);

  // Memory for `frames` rows of the first dimension of `view`, directly in front of it. Empty where
  // the buffers have no lead or `view` does not start one of them.
  TensorView lead_of(const TensorView& view, std::int64_t frames);

 private:
  TensorView view(int buffer, const Shape& shape, DType dtype);
  std::byte* start_of(int buffer) { return buffers_[buffer].view().bytes() + lead_bytes_; }

  DType dtype_;
  std::int64_t capacity_bytes_;
  std::int64_t lead_bytes_;
  std::array<Tensor, 3> buffers_;
  int current_ = 0;
  std::array<int, 2> spare_ = {1, 2};
  TensorView x_;
};

}  // namespace psagen::engine
