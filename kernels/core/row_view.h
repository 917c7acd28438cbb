// A tensor seen as rows of its last dimension: [batches, rows, width].
#pragma once

#include <cstdint>

#include "kernels/core/tensor.h"

namespace psagen {

// Rows of dimensions 1 .. rank - 2 are evenly spaced and each row is unit-stride; dimension 0 may
// have a stride of its own, as after slicing a batch of sequences.
template <typename Byte>
bool has_even_rows(const BasicTensorView<Byte>& view) {
  const int rank = view.rank();
  if (rank == 0) return false;
  if (view.dim(-1) > 1 && view.stride(-1) != 1) return false;
  std::int64_t step = 0;  // of the dimensions seen so far, taken as one
  std::int64_t count = 1;
  for (int i = rank - 2; i >= 1; --i) {
    if (view.dim(i) == 1) continue;
    if (count > 1 && view.stride(i) != step * count) return false;
    if (count == 1) step = view.stride(i);
    count *= view.dim(i);
  }
  return true;
}

template <typename T>
struct RowView {
  T* data = nullptr;
  std::int64_t batches = 1;
  std::int64_t rows = 1;  // of one batch
  std::int64_t width = 0;
  std::int64_t batch_stride = 0;
  std::int64_t row_stride = 0;

  std::int64_t num_rows() const { return batches * rows; }
  T* row(std::int64_t batch, std::int64_t index) const {
    return data + batch * batch_stride + index * row_stride;
  }
  // Row `index` of all batches together.
  T* row(std::int64_t index) const { return row(index / rows, index % rows); }
};

// For a view that has_even_rows().
template <typename T, typename Byte>
auto row_view(const BasicTensorView<Byte>& view) {
  auto* data = view.template data<T>();
  RowView<std::remove_pointer_t<decltype(data)>> result;
  result.data = data;
  const int rank = view.rank();
  result.width = view.dim(-1);
  result.row_stride = result.width;
  for (int i = rank - 2; i >= 1; --i) {
    if (result.rows == 1) result.row_stride = view.dim(i) == 1 ? result.row_stride : view.stride(i);
    result.rows *= view.dim(i);
  }
  result.batch_stride = result.rows * result.row_stride;
  if (rank >= 2) {
    result.batches = view.dim(0);
    if (result.batches > 1) result.batch_stride = view.stride(0);
  }
  return result;
}

// The batches taken as one, where they follow each other evenly; else unchanged.
template <typename T>
RowView<T> join_batches(RowView<T> view) {
  if (view.batches > 1 && view.rows > 1 && view.batch_stride != view.rows * view.row_stride)
    return view;
  if (view.batches > 1 && view.rows == 1) view.row_stride = view.batch_stride;
  view.rows *= view.batches;
  view.batches = 1;
  view.batch_stride = view.rows * view.row_stride;
  return view;
}

}  // namespace psagen
