// Two ways. Many rows: tiles of the product come from oneDNN, one tile a thread, and bias,
// activation and residual are applied while the tile is in the thread's cache; 16-bit weights
// are widened in panels first. Few rows (time embedding, a short prompt): every weight is needed
// once, so reading it is the cost; a dot-product kernel reads weights as they are stored.
//
// Tiles are cut by shape alone, so the bits do not depend on the number of threads.
#include "kernels/cpu/gemm.h"

#include <algorithm>

#include "kernels/core/row_view.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/widen.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/gemm.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/vector-inl.h"

#ifndef PSAGEN_KERNELS_CPU_GEMM_ROW
#define PSAGEN_KERNELS_CPU_GEMM_ROW
namespace psagen::kernels::cpu {

// What becomes of a row of the product; null pointers stand for nothing to do.
struct RowFinish {
  const float* bias;
  const float* residual;
  Activation activation;
};

// Rows of x against columns [begin, end) of the product.
struct FewRows {
  const float* x;  // [rows][depth], packed
  std::int64_t rows, depth;
  const std::byte* weight;  // [columns][depth]
  DType dtype;
  std::int64_t begin, end;
  float* product;  // [rows][columns]
  std::int64_t columns;
};

}  // namespace psagen::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace psagen::kernels::cpu::HWY_NAMESPACE {

void finish_row(const float* product, const RowFinish& finish, std::int64_t width, float* y) {
  const FloatTag d;
  for (std::int64_t i = 0; i < width; i += float_lanes()) {
    const std::int64_t left = width - i;
    FloatVec value = load_floats(d, product + i, left);
    if (finish.bias != nullptr) value = hn::Add(value, load_floats(d, finish.bias + i, left));
    if (finish.activation == Activation::kGeluTanh) value = gelu_tanh(d, value);
    if (finish.activation == Activation::kSilu) value = silu(d, value);
    if (finish.residual != nullptr)
      value = hn::Add(value, load_floats(d, finish.residual + i, left));
    store_floats(value, d, y + i, left);
  }
}

// kRows x kColumns dot products side by side.
template <int kRows, int kColumns, typename T>
HWY_INLINE void dot_block(const float* x, const T* weight, std::int64_t depth, float* product,
                          std::int64_t columns) {
  const FloatTag d;
  FloatVec sum[kRows][kColumns];
#pragma GCC unroll 4
  for (int row = 0; row < kRows; ++row)
#pragma GCC unroll 4
    for (int column = 0; column < kColumns; ++column) sum[row][column] = hn::Zero(d);
  for (std::int64_t k = 0; k < depth; k += float_lanes()) {
    FloatVec values[kRows];
#pragma GCC unroll 4
    for (int row = 0; row < kRows; ++row)
      values[row] = load_floats(d, x + row * depth + k, depth - k);
#pragma GCC unroll 4
    for (int column = 0; column < kColumns; ++column) {
      const FloatVec w = load_floats(d, weight + column * depth + k, depth - k);
#pragma GCC unroll 4
      for (int row = 0; row < kRows; ++row)
        sum[row][column] = hn::MulAdd(w, values[row], sum[row][column]);
    }
  }
  for (int row = 0; row < kRows; ++row)
    for (int column = 0; column < kColumns; ++column)
      product[row * columns + column] = hn::GetLane(hn::SumOfLanes(d, sum[row][column]));
}

template <int kColumns, typename T>
HWY_INLINE void dot_columns(const FewRows& job, const T* weight, std::int64_t column) {
  const T* first = weight + column * job.depth;
  float* product = job.product + column;
  std::int64_t row = 0;
  for (; row + 2 <= job.rows; row += 2)
    dot_block<2, kColumns>(job.x + row * job.depth, first, job.depth, product + row * job.columns,
                           job.columns);
  if (row < job.rows)
    dot_block<1, kColumns>(job.x + row * job.depth, first, job.depth, product + row * job.columns,
                           job.columns);
}

template <typename T>
void multiply_stored(const FewRows& job) {
  const T* weight = reinterpret_cast<const T*>(job.weight);
  std::int64_t column = job.begin;
  for (; column + 4 <= job.end; column += 4) dot_columns<4>(job, weight, column);
  for (; column < job.end; ++column) dot_columns<1>(job, weight, column);
}

void multiply_few_rows(const FewRows& job) {
  if (job.dtype == DType::kBF16) return multiply_stored<bf16>(job);
  if (job.dtype == DType::kF16) return multiply_stored<f16>(job);
  multiply_stored<float>(job);
}

}  // namespace psagen::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace psagen::kernels::cpu {
namespace {

HWY_EXPORT(finish_row);
HWY_EXPORT(multiply_few_rows);

constexpr std::int64_t kFewRows = 16;
// Tiles of 384 x 1024 run at 0.92 of dnnl_sgemm on the whole, of 192 x 256 at 0.90; the smaller
// ones are for products that would not keep many threads busy.
constexpr std::int64_t kTileRows = 384, kSmallTileRows = 192;
constexpr std::int64_t kTileColumns = 1024, kSmallTileColumns = 256;
constexpr std::int64_t kManyTiles = 16;
constexpr std::int64_t kPanelFloats = 4 << 20;  // of widened weights

// The rows of a linear layer: x, y and residual over the same batches and rows.
struct LinearRows {
  RowView<const float> x;
  RowView<const float> residual;
  RowView<float> y;
  const float* bias;
  Activation activation;

  RowFinish finish(std::int64_t batch, std::int64_t row, std::int64_t column) const {
    return {bias == nullptr ? nullptr : bias + column,
            residual.data == nullptr ? nullptr : residual.row(batch, row) + column, activation};
  }
};

LinearRows linear_rows(const LinearArgs& args, const float* bias) {
  LinearRows rows{};
  rows.x = row_view<float>(args.x);
  rows.y = row_view<float>(args.y);
  if (args.residual) rows.residual = row_view<float>(args.residual);
  rows.bias = bias;
  rows.activation = args.activation;
  // A batch is nothing special: larger tiles, fewer of them.
  const auto x = join_batches(rows.x), residual = join_batches(rows.residual);
  const auto y = join_batches(rows.y);
  if (x.batches == 1 && y.batches == 1 && residual.batches == 1) {
    rows.x = x;
    rows.y = y;
    rows.residual = residual;
  }
  return rows;
}

void linear_few_rows(Context& context, const LinearArgs& args, const LinearRows& rows) {
  const std::int64_t count = rows.x.num_rows(), depth = rows.x.width, columns = rows.y.width;
  Workspace::Scope memory(context.workspace());
  float* x = memory.take<float>(static_cast<std::size_t>(count * depth));
  float* product = memory.take<float>(static_cast<std::size_t>(count * columns));
  for (std::int64_t i = 0; i < count; ++i) std::copy_n(rows.x.row(i), depth, x + i * depth);
  const auto multiply = HWY_DYNAMIC_DISPATCH(multiply_few_rows);
  const auto finish = HWY_DYNAMIC_DISPATCH(finish_row);
  // A multiple of four columns: the kernel's width.
  const std::int64_t grain =
      std::max<std::int64_t>(4, 65536 / std::max<std::int64_t>(depth, 1) / 4 * 4);
  parallel_for(context, columns, grain, [&](std::int64_t begin, std::int64_t end) {
    multiply(
        {x, count, depth, args.weight.bytes(), args.weight.dtype(), begin, end, product, columns});
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t batch = i / rows.y.rows, row = i % rows.y.rows;
      finish(product + i * columns + begin, rows.finish(batch, row, begin), end - begin,
             rows.y.row(batch, row) + begin);
    }
  });
}

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

struct TileShape {
  std::int64_t rows = kTileRows, columns = kTileColumns;
};

TileShape tile_shape(std::int64_t batches, std::int64_t rows, std::int64_t columns) {
  TileShape tile;
  const auto few = [&] {
    return batches * divide_up(rows, tile.rows) * divide_up(columns, tile.columns) < kManyTiles;
  };
  while (few() && tile.columns > kSmallTileColumns) tile.columns /= 2;
  if (few()) tile.rows = kSmallTileRows;
  return tile;
}

// Columns [first, first + width) of the product; weight is [width, depth] float32. Tiles are
// computed in scratch memory where the residual may be y itself, in y otherwise.
void linear_tiles(Context& context, const LinearRows& rows, const float* weight, std::int64_t first,
                  std::int64_t width, float* scratch) {
  const std::int64_t depth = rows.x.width;
  const TileShape shape = tile_shape(rows.y.batches, rows.y.rows, width);
  const std::int64_t row_tiles = divide_up(rows.y.rows, shape.rows);
  const std::int64_t column_tiles = divide_up(width, shape.columns);
  const auto finish = HWY_DYNAMIC_DISPATCH(finish_row);
  const std::int64_t tiles = rows.y.batches * row_tiles * column_tiles;
  parallel_for(context, tiles, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t batch = i / (row_tiles * column_tiles);
      const std::int64_t row = i / column_tiles % row_tiles * shape.rows;
      const std::int64_t column = i % column_tiles * shape.columns;
      const std::int64_t num_rows = std::min(shape.rows, rows.y.rows - row);
      const std::int64_t num_columns = std::min(shape.columns, width - column);
      const bool in_place = rows.residual.data == nullptr;
      float* tile = in_place ? rows.y.row(batch, row) + first + column
                             : scratch + thread_index() * kTileRows * kTileColumns;
      const std::int64_t tile_stride = in_place ? rows.y.row_stride : shape.columns;
      multiply_transposed(num_rows, num_columns, depth, rows.x.row(batch, row), rows.x.row_stride,
                          weight + column * depth, depth, tile, tile_stride);
      for (std::int64_t r = 0; r < num_rows; ++r)
        finish(tile + r * tile_stride, rows.finish(batch, row + r, first + column), num_columns,
               rows.y.row(batch, row + r) + first + column);
    }
  });
}

void linear_many_rows(Context& context, const LinearArgs& args, const LinearRows& rows) {
  const LibraryThreads threads(1);  // a tile is one thread's work, also where there is one tile
  const std::int64_t depth = rows.x.width, columns = rows.y.width;
  Workspace::Scope memory(context.workspace());
  float* scratch = nullptr;
  if (rows.residual.data != nullptr)
    scratch = memory.take<float>(
        static_cast<std::size_t>(context.num_threads() * kTileRows * kTileColumns));
  if (args.weight.dtype() == DType::kF32)
    return linear_tiles(context, rows, args.weight.data<float>(), 0, columns, scratch);
  const std::int64_t panel = std::min(
      columns,
      std::max<std::int64_t>(kPanelFloats / std::max<std::int64_t>(depth, 1), kTileColumns));
  float* widened = memory.take<float>(static_cast<std::size_t>(panel * depth));
  for (std::int64_t first = 0; first < columns; first += panel) {
    const std::int64_t width = std::min(panel, columns - first);
    parallel_for(context, width * depth, 32768, [&](std::int64_t begin, std::int64_t end) {
      const auto offset =
          static_cast<std::size_t>(first * depth + begin) * dtype_size(args.weight.dtype());
      widen(args.weight.bytes() + offset, args.weight.dtype(), end - begin, widened + begin);
    });
    linear_tiles(context, rows, widened, first, width, scratch);
  }
}

}  // namespace

void linear(Context& context, const LinearArgs& args) {
  if (args.y.num_elements() == 0) return;
  Workspace::Scope memory(context.workspace());
  const LinearRows rows = linear_rows(args, as_floats(args.bias, memory));
  if (rows.y.num_rows() <= kFewRows) return linear_few_rows(context, args, rows);
  linear_many_rows(context, args, rows);
}

}  // namespace psagen::kernels::cpu
#endif  // HWY_ONCE
