// The only file pair that knows oneDNN: a float32 matrix product and float32 convolutions, channels
// last. Works with versions 2 and 3 of the library.
#pragma once

#include <cstdint>
#include <memory>
#include <tuple>

#include "kernels/core/context.h"

namespace psagen::kernels::cpu {

// c[m, n] = a[m, k] b[n, k]'; rows are lda, ldb and ldc floats apart. One thread where called
// inside a parallel loop.
void multiply_transposed(std::int64_t m, std::int64_t n, std::int64_t k, const float* a,
                         std::int64_t lda, const float* b, std::int64_t ldb, float* c,
                         std::int64_t ldc);

// A convolution of x [frames + kernel_t - 1 - pad_t, height, width, in] into y [frames, height + 2
// pad_h - kernel_h + 1, ..., out]; pad_t frames of zeros stand in front.
struct ConvolutionShape {
  std::int64_t frames = 1, height = 0, width = 0;
  std::int64_t in_channels = 0, out_channels = 0;
  std::int64_t kernel_t = 1, kernel_h = 1, kernel_w = 1;
  std::int64_t pad_t = 0;
  std::int64_t pad_h = 0, pad_w = 0;
  bool add_to_y = false;  // y is added to instead of written

  // All members; makes the order by which a map is sorted.
  auto members() const {
    return std::tie(frames, height, width, in_channels, out_channels, kernel_t, kernel_h, kernel_w,
                    pad_t, pad_h, pad_w, add_to_y);
  }
  bool operator<(const ConvolutionShape& other) const { return members() < other.members(); }
};

// Weights and bias in the library's layout, in memory of the context's allocator.
class ConvolutionWeights {
 public:
  // `weight` [out, in, kt, kh, kw] and `bias` [out] as plain float32. `shape` is one of those the
  // weights will be used with, or like them.
  ConvolutionWeights(Context& context, ConvolutionShape shape, const float* weight,
                     const float* bias);
  ~ConvolutionWeights();

 private:
  friend class ConvolutionCache;
  struct Layouts;
  std::unique_ptr<Layouts> layouts_;
};

// Compiled convolutions by shape: made when a shape is first met, then only executed.
class ConvolutionCache {
 public:
  explicit ConvolutionCache(Context& context);
  ~ConvolutionCache();

  void run(const ConvolutionShape& shape, const ConvolutionWeights& weights, const float* x,
           float* y);

 private:
  struct Compiled;
  struct Storage;
  Compiled& find_or_compile(const ConvolutionShape& shape);

  Context& context_;
  std::unique_ptr<Storage> storage_;
};

}  // namespace psagen::kernels::cpu
