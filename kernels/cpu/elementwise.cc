#include "kernels/cpu/elementwise.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <limits>

#include "kernels/core/row_view.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/widen.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/elementwise.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace psagen::kernels::cpu::HWY_NAMESPACE {

void gelu_gate_row(const float* gate, const float* up, std::int64_t width, float* y) {
  const FloatTag d;
  for (std::int64_t i = 0; i < width; i += float_lanes()) {
    const FloatVec value = gelu_tanh(d, load_floats(d, gate + i, width - i));
    store_floats(hn::Mul(value, load_floats(d, up + i, width - i)), d, y + i, width - i);
  }
}

void gelu_row(const float* x, std::int64_t width, float* y) {
  const FloatTag d;
  for (std::int64_t i = 0; i < width; i += float_lanes())
    store_floats(gelu_tanh(d, load_floats(d, x + i, width - i)), d, y + i, width - i);
}

void silu_row(const float* x, std::int64_t width, float* y) {
  const FloatTag d;
  for (std::int64_t i = 0; i < width; i += float_lanes())
    store_floats(silu(d, load_floats(d, x + i, width - i)), d, y + i, width - i);
}

std::int64_t count_nonfinite_row(const float* x, std::int64_t width) {
  const FloatTag d;
  const hn::RebindToUnsigned<FloatTag> du;
  const auto exponent = hn::Set(du, 0x7f800000u);
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < width; i += float_lanes()) {
    const auto bits = hn::BitCast(du, load_floats(d, x + i, width - i));
    count +=
        static_cast<std::int64_t>(hn::CountTrue(du, hn::Eq(hn::And(bits, exponent), exponent)));
  }
  return count;
}

void rgb8_row(const float* x, std::int64_t width, std::uint8_t* rgb) {
  const FloatTag d;
  const hn::Rebind<std::int32_t, FloatTag> di;
  HWY_ALIGN std::int32_t levels[HWY_MAX_BYTES / sizeof(std::int32_t)];
  for (std::int64_t i = 0; i < width; i += float_lanes()) {
    FloatVec value = load_floats(d, x + i, width - i);
    value = hn::Min(hn::Max(value, hn::Set(d, -1.0f)), hn::Set(d, 1.0f));
    value = hn::Mul(hn::Add(value, hn::Set(d, 1.0f)), hn::Set(d, 127.5f));
    hn::Store(hn::NearestInt(value), di, levels);  // ties to even
    const std::int64_t count = std::min(float_lanes(), width - i);
    for (std::int64_t j = 0; j < count; ++j) rgb[i + j] = static_cast<std::uint8_t>(levels[j]);
  }
}

}  // namespace psagen::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace psagen::kernels::cpu {
namespace {

HWY_EXPORT(gelu_gate_row);
HWY_EXPORT(count_nonfinite_row);
HWY_EXPORT(gelu_row);
HWY_EXPORT(silu_row);
HWY_EXPORT(rgb8_row);

// A contiguous view is one row: pieces are then cut regardless of the shape.
template <typename T>
RowView<T> flatten(RowView<T> view, bool contiguous) {
  if (!contiguous) return view;
  view.width *= view.batches * view.rows;
  view.batches = view.rows = 1;
  return view;
}

// body(row, begin, end) over pieces of every row.
template <typename Body>
void for_pieces(const Context& context, std::int64_t rows, std::int64_t width, const Body& body) {
  if (rows == 1) {
    parallel_for(context, width, kElementGrain,
                 [&](std::int64_t begin, std::int64_t end) { body(0, begin, end); });
    return;
  }
  parallel_for(context, rows, row_grain(width), [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t row = first; row < last; ++row) body(row, 0, width);
  });
}

}  // namespace

void gelu_gate(Context& context, const GeluGateArgs& args) {
  const bool flat = args.gate.is_contiguous() && args.up.is_contiguous() && args.y.is_contiguous();
  const auto gate = flatten(row_view<float>(args.gate), flat);
  const auto up = flatten(row_view<float>(args.up), flat);
  const auto y = flatten(row_view<float>(args.y), flat);
  const auto apply = HWY_DYNAMIC_DISPATCH(gelu_gate_row);
  for_pieces(context, gate.num_rows(), gate.width,
             [&](std::int64_t row, std::int64_t begin, std::int64_t end) {
               apply(gate.row(row) + begin, up.row(row) + begin, end - begin, y.row(row) + begin);
             });
}

void activate(Context& context, ConstTensorView x_view, Activation activation, TensorView y_view) {
  const bool flat = x_view.is_contiguous() && y_view.is_contiguous();
  const auto x = flatten(row_view<float>(x_view), flat);
  const auto y = flatten(row_view<float>(y_view), flat);
  const auto gelu = HWY_DYNAMIC_DISPATCH(gelu_row);
  const auto silu = HWY_DYNAMIC_DISPATCH(silu_row);
  for_pieces(context, x.num_rows(), x.width,
             [&](std::int64_t row, std::int64_t begin, std::int64_t end) {
               const float* from = x.row(row) + begin;
               float* to = y.row(row) + begin;
               switch (activation) {
                 case Activation::kGeluTanh:
                   return gelu(from, end - begin, to);
                 case Activation::kSilu:
                   return silu(from, end - begin, to);
                 case Activation::kNone:
                   if (from != to) std::copy_n(from, end - begin, to);
                   return;
               }
             });
}

void embedding(Context& context, const EmbeddingArgs& args) {
  const auto y = join_batches(row_view<float>(args.y));
  const std::int64_t width = args.table.dim(1);
  const std::size_t row_bytes = static_cast<std::size_t>(width) * dtype_size(args.table.dtype());
  parallel_for(context, static_cast<std::int64_t>(args.ids.size()), row_grain(width),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i) {
                   const auto id = static_cast<std::size_t>(args.ids[static_cast<std::size_t>(i)]);
                   widen(args.table.bytes() + id * row_bytes, args.table.dtype(), width, y.row(i));
                 }
               });
}

// Terms are added in double: the latent is small, and every step of a solver goes through here.
void linear_combination(Context& context, std::span<const LinearTerm> terms, TensorView y_view) {
  bool flat = y_view.is_contiguous();
  for (const LinearTerm& term : terms) flat = flat && term.x.is_contiguous();
  const auto y = flatten(row_view<float>(y_view), flat);
  for_pieces(context, y.num_rows(), y.width,
             [&](std::int64_t row, std::int64_t begin, std::int64_t end) {
               constexpr std::int64_t kStrip = 256;
               std::array<double, kStrip> sum;
               for (std::int64_t i = begin; i < end; i += kStrip) {
                 const std::int64_t count = std::min(kStrip, end - i);
                 sum.fill(0.0);
                 for (const LinearTerm& term : terms) {
                   const float* x = flatten(row_view<float>(term.x), flat).row(row) + i;
                   for (std::int64_t j = 0; j < count; ++j) sum[j] += term.coefficient * x[j];
                 }
                 for (std::int64_t j = 0; j < count; ++j)
                   y.row(row)[i + j] = static_cast<float>(sum[j]);
               }
             });
}

std::int64_t count_nonfinite(const float* x, std::int64_t width) {
  return HWY_DYNAMIC_DISPATCH(count_nonfinite_row)(x, width);
}

void count_nonfinite(Context& context, ConstTensorView x, TensorView counter) {
  const auto rows = join_batches(row_view<float>(x));
  const auto count_row = HWY_DYNAMIC_DISPATCH(count_nonfinite_row);
  std::atomic<std::int64_t> count = 0;
  parallel_for(context, rows.num_rows(), row_grain(rows.width),
               [&](std::int64_t begin, std::int64_t end) {
                 std::int64_t found = 0;
                 for (std::int64_t i = begin; i < end; ++i)
                   found += count_row(rows.row(i), rows.width);
                 if (found > 0) count += found;
               });
  std::int32_t& total = *counter.data<std::int32_t>();
  total = static_cast<std::int32_t>(
      std::min<std::int64_t>(total + count, std::numeric_limits<std::int32_t>::max()));
}

void to_rgb8(Context& context, const ToRgb8Args& args) {
  const float* x = args.x.data<float>();
  std::uint8_t* rgb = args.rgb.data<std::uint8_t>();
  const auto convert = HWY_DYNAMIC_DISPATCH(rgb8_row);
  parallel_for(
      context, args.x.num_elements(), kElementGrain,
      [&](std::int64_t begin, std::int64_t end) { convert(x + begin, end - begin, rgb + begin); });
}

}  // namespace psagen::kernels::cpu
#endif  // HWY_ONCE
