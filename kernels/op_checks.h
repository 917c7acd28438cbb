// The checks every op makes before it computes. A message says which op, which argument, what was
// found and what was wanted.
#pragma once

#include "kernels/core/row_view.h"
#include "kernels/core/tensor.h"

namespace psagen::kernels {

class OpChecks {
 public:
  OpChecks(const char* op, Device device) : op_(op), device_(device) {}

  // Not empty, of this device, and of a type its activations may have.
  void given(const char* name, const ConstTensorView& view) const {
    if (device_.kind == DeviceKind::kCpu) return given(name, view, DType::kF32);
    present(name, view);
    real(name, view);
  }

  // Not empty, of this device and dtype.
  void given(const char* name, const ConstTensorView& view, DType dtype) const {
    present(name, view);
    PSAGEN_CHECK(view.dtype() == dtype, ErrorCode::kInvalidArgument, op_, ": ", name, " is ",
                 dtype_name(view.dtype()), ", wanted ", dtype_name(dtype));
  }

  // Not empty, of this device or contiguous host memory.
  void copied(const char* name, const ConstTensorView& view) const {
    if (view && view.device() == Device{}) return contiguous_on_host(name, view);
    present(name, view);
  }

  void real(const char* name, const ConstTensorView& view) const {
    PSAGEN_CHECK(
        view.dtype() == DType::kF32 || view.dtype() == DType::kBF16 || view.dtype() == DType::kF16,
        ErrorCode::kInvalidArgument, op_, ": ", name, " is ", dtype_name(view.dtype()),
        ", wanted F32, BF16 or F16");
  }

  // Not empty, of this device, F32, BF16 or F16, contiguous.
  void weight(const char* name, const ConstTensorView& view) const {
    present(name, view);
    real(name, view);
    contiguous(name, view);
  }

  void shape(const char* name, const ConstTensorView& view, const Shape& wanted) const {
    PSAGEN_CHECK(view.shape() == wanted, ErrorCode::kInvalidArgument, op_, ": ", name, " is ",
                 view.shape(), ", wanted ", wanted);
  }

  void rank(const char* name, const ConstTensorView& view, int wanted) const {
    PSAGEN_CHECK(view.rank() == wanted, ErrorCode::kInvalidArgument, op_, ": ", name, " is ",
                 view.shape(), ", wanted ", wanted, " dimensions");
  }

  void min_rank(const char* name, const ConstTensorView& view, int wanted) const {
    PSAGEN_CHECK(view.rank() >= wanted, ErrorCode::kInvalidArgument, op_, ": ", name, " is ",
                 view.shape(), ", wanted at least ", wanted, " dimensions");
  }

  void contiguous(const char* name, const ConstTensorView& view) const {
    PSAGEN_CHECK(view.is_contiguous(), ErrorCode::kInvalidArgument, op_, ": ", name, " of shape ",
                 view.shape(), " is not contiguous");
  }

  void even_rows(const char* name, const ConstTensorView& view) const {
    PSAGEN_CHECK(has_even_rows(view), ErrorCode::kInvalidArgument, op_, ": ", name, " of shape ",
                 view.shape(), " has rows that are not unit-stride or not evenly spaced");
  }

  void unit_stride(const char* name, const ConstTensorView& view) const {
    PSAGEN_CHECK(view.dim(-1) <= 1 || view.stride(-1) == 1, ErrorCode::kInvalidArgument, op_, ": ",
                 name, " has stride ", view.stride(-1), " in its last dimension, wanted 1");
  }

  // Anything else that must hold; `parts` say what was found and wanted.
  template <typename... Parts>
  void that(bool condition, Parts&&... parts) const {
    PSAGEN_CHECK(condition, ErrorCode::kInvalidArgument, op_, ": ", std::forward<Parts>(parts)...);
  }

 private:
  void contiguous_on_host(const char* name, const ConstTensorView& view) const {
    if (device_.kind != DeviceKind::kCpu) contiguous(name, view);
  }

  void present(const char* name, const ConstTensorView& view) const {
    PSAGEN_CHECK(static_cast<bool>(view), ErrorCode::kInvalidArgument, op_, ": ", name,
                 " is not given");
    PSAGEN_CHECK(view.device() == device_, ErrorCode::kInvalidArgument, op_, ": ", name,
                 " is on another device than the context");
  }

  const char* op_;
  Device device_;
};

}  // namespace psagen::kernels
