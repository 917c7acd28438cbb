#include "kernels/core/tensor.h"

#include <utility>

namespace psagen {

Strides contiguous_strides(const Shape& shape) {
  Strides strides{};
  std::int64_t step = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    strides[i] = step;
    step *= shape[i];
  }
  return strides;
}

Tensor::Tensor(Allocator& allocator, DType dtype, Shape shape) : allocator_(&allocator) {
  const std::size_t bytes = static_cast<std::size_t>(shape.num_elements()) * dtype_size(dtype);
  view_ = TensorView(static_cast<std::byte*>(allocator.allocate(bytes)), dtype, shape,
                     allocator.device());
}

Tensor::Tensor(Tensor&& other) noexcept
    : allocator_(std::exchange(other.allocator_, nullptr)),
      view_(std::exchange(other.view_, TensorView())) {}

Tensor& Tensor::operator=(Tensor&& other) noexcept {
  std::swap(allocator_, other.allocator_);
  std::swap(view_, other.view_);
  return *this;
}

Tensor::~Tensor() {
  if (allocator_ != nullptr) allocator_->deallocate(view_.bytes(), view_.num_bytes());
}

}  // namespace psagen
