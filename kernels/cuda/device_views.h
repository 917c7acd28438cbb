// Tensor views as kernels take them: plain values, the element type known at run time only.
#pragma once

#include <algorithm>
#include <climits>
#include <cstdint>

#include "kernels/core/error.h"
#include "kernels/core/row_view.h"

namespace psagen::kernels::cuda {

// Real numbers in device memory. Asking for the type is a branch that all threads take alike: an op
// that waits for memory does not feel it, and needs no instance for every combination of types.
// Null stands for "not given".
struct ConstReals {
  const void* data = nullptr;
  DType dtype = DType::kF32;
};
struct Reals {
  void* data = nullptr;
  DType dtype = DType::kF32;
};

inline ConstReals reals(const ConstTensorView& view) { return {view.bytes(), view.dtype()}; }
inline Reals reals(const TensorView& view) { return {view.bytes(), view.dtype()}; }

// Where the rows of a view that has_even_rows() lie: RowView without the type. In elements.
struct RowShape {
  std::int64_t batches = 1;
  std::int64_t rows = 1;  // of one batch
  std::int64_t width = 0;
  std::int64_t batch_stride = 0;
  std::int64_t row_stride = 0;

  constexpr std::int64_t num_rows() const { return batches * rows; }
  constexpr std::int64_t offset(std::int64_t batch, std::int64_t row) const {
    return batch * batch_stride + row * row_stride;
  }
  // Of row `index` of all batches together; the division is a kernel's dearest instruction.
  constexpr std::int64_t offset(std::int64_t index) const {
    return batches == 1 ? index * row_stride : offset(index / rows, index % rows);
  }
};

namespace detail {
inline RowView<const float> as_float_rows(const ConstTensorView& view) {
  return row_view<float>(
      ConstTensorView(view.bytes(), DType::kF32, view.shape(), view.strides(), view.device()));
}
inline RowShape shape_of(const RowView<const float>& rows) {
  return {rows.batches, rows.rows, rows.width, rows.batch_stride, rows.row_stride};
}
}  // namespace detail

inline RowShape row_shape(const ConstTensorView& view) {
  return detail::shape_of(detail::as_float_rows(view));
}

// The batches taken as one, where they follow each other evenly; else unchanged.
inline RowShape joined_row_shape(const ConstTensorView& view) {
  return detail::shape_of(join_batches(detail::as_float_rows(view)));
}

// A contiguous view as one row.
inline RowShape flat_row_shape(const ConstTensorView& view) {
  const std::int64_t count = view.num_elements();
  return {1, 1, count, count, count};
}

// Whether every `elements` consecutive elements of a row, counted from its first, can be had in
// accesses of up to 16 bytes.
inline bool has_aligned_chunks(const ConstTensorView& view, const RowShape& rows, int elements) {
  const std::uintptr_t access = std::min<std::uintptr_t>(
      16, static_cast<std::uintptr_t>(elements) * dtype_size(view.dtype()));
  return reinterpret_cast<std::uintptr_t>(view.bytes()) % access == 0 &&
         (rows.rows == 1 || rows.row_stride % elements == 0) &&
         (rows.batches == 1 || rows.batch_stride % elements == 0);
}

// Kernels count some things in int.
inline int as_int(std::int64_t count) {
  PSAGEN_CHECK(count <= INT_MAX, ErrorCode::kUnsupported, "a tensor has ", count,
               " rows or columns, wanted at most ", INT_MAX);
  return static_cast<int>(count);
}

}  // namespace psagen::kernels::cuda
