// A warp makes kColumns columns of the product for kRows rows: its threads share the depth, eight
// elements each at a time, and add up their parts at the end. Every weight is read once for kRows
// rows, which is what the product of few rows costs: columns * depth * size of a weight. More
// columns to a warp where there are more rows, since then reading x (from the L1 cache) would take
// the time.
#include "kernels/cuda/small_linear.h"

#include <array>

#include "kernels/cuda/device/activation.cuh"
#include "kernels/cuda/device/element_rows.cuh"
#include "kernels/cuda/device/reduce.cuh"

namespace psagen::kernels::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kChunk = 8;

// What becomes of product elements [column, column + N) of a row.
template <int N>
__device__ void finish(const LinearRows& p, std::int64_t row, std::int64_t column,
                       float (&values)[N]) {
  float others[N];
  if (p.bias.data != nullptr) {
    load_reals<N>(p.bias, column, others);
#pragma unroll
    for (int i = 0; i < N; ++i) values[i] += others[i];
  }
#pragma unroll
  for (int i = 0; i < N; ++i) values[i] = activated(values[i], p.activation);
  if (p.residual.data != nullptr) {
    load_reals<N>(p.residual, row * p.residual_stride + column, others);
#pragma unroll
    for (int i = 0; i < N; ++i) values[i] += others[i];
  }
  store_reals<N>(values, p.y, row * p.y_stride + column);
}

// kAligned: the depth is a multiple of kChunk and so is every row's address.
template <int kRows_, int kColumns_, bool kAligned>
struct SmallTraits {
  static constexpr int kRows = kRows_;
  static constexpr int kColumns = kColumns_;
  static constexpr int kDepth = kAligned ? kChunk : 1;  // elements of a thread at a time
  static constexpr int kUnroll = kRows == 1 ? 4 : 1;    // loads of weights in flight
};

// Neighbouring threads have neighbouring parts of the depth.
template <typename Traits, typename X, typename W>
__device__ void add_products(const LinearRows& p, std::int64_t first_row, std::int64_t first_column,
                             float (&sums)[Traits::kRows][Traits::kColumns]) {
  const X* x[Traits::kRows];
  const W* weight[Traits::kColumns];
  // Beyond the last row or column its neighbour is read for nothing.
#pragma unroll
  for (int r = 0; r < Traits::kRows; ++r)
    x[r] = static_cast<const X*>(p.x.data) + min(first_row + r, p.rows - 1) * p.x_stride;
#pragma unroll
  for (int c = 0; c < Traits::kColumns; ++c)
    weight[c] =
        static_cast<const W*>(p.weight.data) + min(first_column + c, p.columns - 1) * p.depth;
#pragma unroll Traits::kUnroll
  for (std::int64_t k = threadIdx.x % 32 * Traits::kDepth; k < p.depth; k += 32 * Traits::kDepth) {
    float weights[Traits::kColumns][Traits::kDepth];
#pragma unroll
    for (int c = 0; c < Traits::kColumns; ++c)
      load_floats<Traits::kDepth>(weight[c] + k, weights[c]);
#pragma unroll
    for (int r = 0; r < Traits::kRows; ++r) {
      float values[Traits::kDepth];
      load_floats<Traits::kDepth>(x[r] + k, values);
#pragma unroll
      for (int c = 0; c < Traits::kColumns; ++c)
#pragma unroll
        for (int i = 0; i < Traits::kDepth; ++i)
          sums[r][c] = fmaf(values[i], weights[c][i], sums[r][c]);
    }
  }
}

template <typename Traits, typename X, typename W>
__global__ void __launch_bounds__(32 * kWarps)
    small_linear_kernel(const LinearRows p, const int row_blocks) {
  constexpr int kSums = Traits::kRows * Traits::kColumns;
  constexpr int kSumsOfThread = (kSums + 31) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t first_row = static_cast<std::int64_t>(blockIdx.x % row_blocks) * Traits::kRows;
  const std::int64_t first_column =
      (static_cast<std::int64_t>(blockIdx.x / row_blocks) * kWarps + threadIdx.x / 32) *
      Traits::kColumns;
  if (first_column >= p.columns) return;
  float sums[Traits::kRows][Traits::kColumns] = {};
  add_products<Traits, X, W>(p, first_row, first_column, sums);
  // Thread `lane` finishes elements lane, lane + 32, ... of the warp's tile.
  float own[kSumsOfThread] = {};
#pragma unroll
  for (int i = 0; i < kSums; ++i) {
    const float sum = warp_sum(sums[i / Traits::kColumns][i % Traits::kColumns]);
    if (lane == i % 32) own[i / 32] = sum;
  }
#pragma unroll
  for (int j = 0; j < kSumsOfThread; ++j) {
    const int i = j * 32 + lane;
    const std::int64_t row = first_row + i / Traits::kColumns;
    const std::int64_t column = first_column + i % Traits::kColumns;
    float value[1] = {own[j]};
    if (i < kSums && row < p.rows && column < p.columns) finish<1>(p, row, column, value);
  }
}

template <typename Traits>
void launch(CudaRuntime& runtime, const LinearRows& linear) {
  const std::int64_t column_blocks =
      (linear.columns + kWarps * Traits::kColumns - 1) / (kWarps * Traits::kColumns);
  const std::int64_t row_blocks = (linear.rows + Traits::kRows - 1) / Traits::kRows;
  const auto blocks = static_cast<unsigned>(as_int(column_blocks * row_blocks));
  with_real_type(linear.x.dtype, [&](auto x) {
    with_real_type(linear.weight.dtype, [&](auto weight) {
      small_linear_kernel<Traits, decltype(x), decltype(weight)>
          <<<blocks, 32 * kWarps, 0, runtime.stream()>>>(linear, static_cast<int>(row_blocks));
    });
  });
  PSAGEN_CUDA(cudaGetLastError());
}

struct FinishOp {
  const float* product;
  std::int64_t stride;
  LinearRows linear;

  template <int N>
  __device__ void apply(std::int64_t row, std::int64_t column) const {
    float values[N];
    load_floats<N>(product + row * stride + column, values);
    finish<N>(linear, row, column, values);
  }
};

// Rows `stride` apart as a view; empty where there are none.
ConstTensorView as_view(const ConstReals& values, std::int64_t rows, std::int64_t columns,
                        std::int64_t stride) {
  return {static_cast<const std::byte*>(values.data),
          values.dtype,
          {1, rows, columns},
          {rows * stride, stride, 1},
          Device{}};
}

}  // namespace

LinearRows LinearRows::part(std::int64_t begin, std::int64_t count) const {
  const auto moved = [begin](auto values, std::int64_t stride) {
    using Byte =
        std::conditional_t<std::is_same_v<decltype(values), Reals>, std::byte, const std::byte>;
    if (values.data != nullptr)
      values.data = static_cast<Byte*>(values.data) +
                    begin * stride * static_cast<std::int64_t>(dtype_size(values.dtype));
    return values;
  };
  LinearRows result = *this;
  result.rows = count;
  result.x = moved(x, x_stride);
  result.residual = moved(residual, residual_stride);
  result.y = moved(y, y_stride);
  return result;
}

void small_linear(CudaRuntime& runtime, const LinearRows& linear) {
  const ConstTensorView x = as_view(linear.x, linear.rows, linear.depth, linear.x_stride);
  const ConstTensorView weight = as_view(linear.weight, linear.columns, linear.depth, linear.depth);
  const bool aligned = linear.depth % kChunk == 0 && has_aligned_chunks(x, row_shape(x), kChunk) &&
                       has_aligned_chunks(weight, row_shape(weight), kChunk);
  if (!aligned) return launch<SmallTraits<4, 1, false>>(runtime, linear);
  if (linear.rows == 1) return launch<SmallTraits<1, 1, true>>(runtime, linear);
  if (linear.rows <= 4) return launch<SmallTraits<4, 2, true>>(runtime, linear);
  launch<SmallTraits<8, 2, true>>(runtime, linear);
}

void finish_linear(CudaRuntime& runtime, const float* product, std::int64_t stride,
                   const LinearRows& linear) {
  const std::int64_t rows = linear.rows, columns = linear.columns;
  const ConstReals y = {linear.y.data, linear.y.dtype};
  const std::array<ConstTensorView, 4> views = {
      as_view({product, DType::kF32}, rows, columns, stride),
      as_view(linear.bias, 1, columns, columns),
      as_view(linear.residual, rows, columns, linear.residual_stride),
      as_view(y, rows, columns, linear.y_stride)};
  const ElementRows elements(views, true);
  launch_elements(runtime, FinishOp{product, stride, linear}, row_shape(views[0]),
                  elements.aligned());
}

}  // namespace psagen::kernels::cuda
