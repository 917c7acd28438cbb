// How many threads share a row, by its width and by whether it can be read in whole chunks.
#pragma once

#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/device/row_values.cuh"

namespace psagen::kernels::cuda {

// Of a parameter that all rows of a batch share.
template <typename Traits>
__device__ inline void load_parameter(ConstReals from, std::int64_t index,
                                      float (&to)[Traits::kElements]) {
  for_real_type(from.dtype, [&](auto type) {
    load_chunk<Traits::kAligned>(static_cast<const decltype(type)*>(from.data) + index, to);
  });
}

// What decides about vector access: the tensors of one op, as far as they are given.
class RowAccess {
 public:
  static constexpr int kChunk = 4;  // elements: 16 bytes of float32, 8 of a 16-bit type

  explicit RowAccess(std::int64_t width) : aligned_(width % kChunk == 0) {}

  void add(const ConstTensorView& view, const RowShape& rows) {
    aligned_ = aligned_ && has_aligned_chunks(view, rows, kChunk);
  }
  // [C], or [B, C] with a stride between the batches.
  void add_parameter(const ConstTensorView& view) {
    if (view) add(view, row_shape(view));
  }

  bool aligned() const { return aligned_; }

 private:
  bool aligned_;
};

// Calls launch(traits). Widths 1536, 5120 and 8192 are filled exactly; up to 1536 a row is one
// warp's, which needs no barrier. Rows that are not aligned have chunks of kUnaligned elements.
template <int kUnaligned, typename Launch>
void with_row_traits(int width, const RowAccess& access, const Launch& launch) {
  using OneWarp = RowTraits<32, 12, RowAccess::kChunk, true>;
  using FourWarps = RowTraits<128, 10, RowAccess::kChunk, true>;
  using EightWarps = RowTraits<256, 8, RowAccess::kChunk, true>;
  using OneWarpUnaligned = RowTraits<32, 16 / kUnaligned, kUnaligned, false>;
  using EightWarpsUnaligned = RowTraits<256, 32 / kUnaligned, kUnaligned, false>;
  if (access.aligned() && width <= OneWarp::kMaxWidth) return launch(OneWarp{});
  if (access.aligned() && width <= FourWarps::kMaxWidth) return launch(FourWarps{});
  if (access.aligned() && width <= EightWarps::kMaxWidth) return launch(EightWarps{});
  if (width <= OneWarpUnaligned::kMaxWidth) return launch(OneWarpUnaligned{});
  if (width <= EightWarpsUnaligned::kMaxWidth) return launch(EightWarpsUnaligned{});
  launch(RowTraits<512, 0, kUnaligned, false>{});
}

// Blocks that a multiprocessor is to hold at once for enough loads in flight, where a thread keeps
// its part of one tensor (up to 96 registers) or of two (up to 168).
constexpr int blocks_at_once(int threads, int tensors) {
  const int blocks = (tensors == 1 ? 640 : 384) / threads;
  return blocks > 0 ? blocks : 1;
}

template <typename Traits>
dim3 row_grid(std::int64_t rows) {
  return dim3(static_cast<unsigned>((rows + Traits::kRowsOfBlock - 1) / Traits::kRowsOfBlock));
}

}  // namespace psagen::kernels::cuda
