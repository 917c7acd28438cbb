// Memory for the activations of one chunk: three buffers of equal size that blocks pass around, so
// that no block allocates. At any time one holds the activation x; the other two are free.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/core/tensor.h"

namespace psagen::engine {

class ChunkBuffers {
 public:
  // `capacity` float32 elements each.
  ChunkBuffers(Allocator& allocator, std::int64_t capacity);

  // The activation that one block hands to the next.
  const TensorView& x() const { return x_; }

  // Views of the two free buffers.
  TensorView first_spare(const Shape& shape) { return view(spare_[0], shape); }
  TensorView second_spare(const Shape& shape) { return view(spare_[1], shape); }

  // Makes a view of a free buffer the activation; the buffer of the last one becomes free.
  void set_x(TensorView next);

 private:
  TensorView view(int buffer, const Shape& shape);

  std::array<Tensor, 3> buffers_;
  int current_ = 0;
  std::array<int, 2> spare_ = {1, 2};
  TensorView x_;
};

}  // namespace psagen::engine
