// Views (pointer, dtype, shape, strides, device) and the owner of a tensor's bytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/core/allocator.h"
#include "kernels/core/device.h"
#include "kernels/core/dtype.h"
#include "kernels/core/shape.h"

namespace psagen {

// Strides in elements, one per dimension.
using Strides = std::array<std::int64_t, Shape::kMaxRank>;

Strides contiguous_strides(const Shape& shape);

// A tensor somebody else owns. `Pointer` is std::byte* or const std::byte*. An empty view (null
// pointer) stands for "not given" in optional op arguments.
template <typename Byte>
class BasicTensorView {
 public:
  BasicTensorView() = default;
  BasicTensorView(Byte* bytes, DType dtype, Shape shape, Device device)
      : BasicTensorView(bytes, dtype, shape, contiguous_strides(shape), device) {}
  BasicTensorView(Byte* bytes, DType dtype, Shape shape, Strides strides, Device device)
      : bytes_(bytes), dtype_(dtype), shape_(shape), strides_(strides), device_(device) {}
  // A mutable view converts to a read-only one.
  template <typename Other>
  requires(std::is_const_v<Byte> && !std::is_const_v<Other>)
      BasicTensorView(const BasicTensorView<Other>& other)  // NOLINT(google-explicit-constructor)
      : BasicTensorView(other.bytes(), other.dtype(), other.shape(), other.strides(),
                        other.device()) {}

  explicit operator bool() const { return bytes_ != nullptr; }
  Byte* bytes() const { return bytes_; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  std::int64_t dim(int index) const { return shape_[index]; }
  int rank() const { return shape_.rank(); }
  const Strides& strides() const { return strides_; }
  std::int64_t stride(int index) const { return strides_[index < 0 ? index + rank() : index]; }
  Device device() const { return device_; }
  std::int64_t num_elements() const { return shape_.num_elements(); }
  std::size_t num_bytes() const {
    return static_cast<std::size_t>(num_elements()) * dtype_size(dtype_);
  }

  bool is_contiguous() const {
    const Strides wanted = contiguous_strides(shape_);
    for (int i = 0; i < rank(); ++i)
      if (shape_[i] > 1 && strides_[i] != wanted[i]) return false;
    return true;
  }

  // Typed access; a wrong type is the caller's mistake.
  template <typename T>
  auto data() const {
    PSAGEN_CHECK(dtype_ == dtype_of<T>::value, ErrorCode::kInternal, "a tensor holds ",
                 dtype_name(dtype_), ", asked for ", dtype_name(dtype_of<T>::value));
    using Result = std::conditional_t<std::is_const_v<Byte>, const T, T>;
    return reinterpret_cast<Result*>(bytes_);
  }

  // The same bytes under another shape; only for contiguous views.
  BasicTensorView reshape(Shape shape) const {
    PSAGEN_CHECK(is_contiguous() && shape.num_elements() == num_elements(), ErrorCode::kInternal,
                 "cannot view ", shape_, " as ", shape);
    return {bytes_, dtype_, shape, device_};
  }

  // Rows [begin, end) of dimension `axis`.
  BasicTensorView slice(int axis, std::int64_t begin, std::int64_t end) const {
    PSAGEN_CHECK(begin >= 0 && begin <= end && end <= shape_[axis], ErrorCode::kInternal, "slice [",
                 begin, ", ", end, ") of dimension ", axis, " of ", shape_);
    BasicTensorView result = *this;
    result.bytes_ += begin * stride(axis) * static_cast<std::int64_t>(dtype_size(dtype_));
    result.shape_[axis] = end - begin;
    return result;
  }

  // Splits the last dimension, which must be unit-stride, into [outer, inner].
  BasicTensorView split_last(std::int64_t outer, std::int64_t inner) const {
    PSAGEN_CHECK(shape_[-1] == outer * inner, ErrorCode::kInternal, "cannot split the last of ",
                 shape_, " into ", outer, " x ", inner);
    BasicTensorView result = *this;
    const std::int64_t last = stride(-1);
    result.shape_[-1] = outer;
    result.strides_[rank() - 1] = inner * last;
    result.shape_.push_back(inner);
    result.strides_[result.rank() - 1] = last;
    return result;
  }

 private:
  Byte* bytes_ = nullptr;
  DType dtype_ = DType::kF32;
  Shape shape_;
  Strides strides_{};
  Device device_;
};

using TensorView = BasicTensorView<std::byte>;
using ConstTensorView = BasicTensorView<const std::byte>;

// Owns contiguous bytes from an allocator, which must outlive it. Move-only.
class Tensor {
 public:
  Tensor() = default;
  Tensor(Allocator& allocator, DType dtype, Shape shape);
  Tensor(Tensor&& other) noexcept;
  Tensor& operator=(Tensor&& other) noexcept;
  ~Tensor();

  explicit operator bool() const { return static_cast<bool>(view_); }
  TensorView view() { return view_; }
  ConstTensorView view() const { return view_; }
  // An owner may stand wherever a view is wanted.
  operator TensorView() { return view_; }             // NOLINT(google-explicit-constructor)
  operator ConstTensorView() const { return view_; }  // NOLINT(google-explicit-constructor)
  const Shape& shape() const { return view_.shape(); }

 private:
  Allocator* allocator_ = nullptr;
  TensorView view_;
};

}  // namespace psagen
