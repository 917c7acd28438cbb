#include "kernels/cpu/norm.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "kernels/core/row_view.h"
#include "kernels/cpu/elementwise.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/widen.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/norm.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/reduce-inl.h"

#ifndef PSAGEN_KERNELS_CPU_NORM_ROWS
#define PSAGEN_KERNELS_CPU_NORM_ROWS
namespace psagen::kernels::cpu {

// y = (x - mean) * inverse * gamma + beta, then * (1 + scale) + shift; null pointers stand for 1
// and 0.
struct LayerNormRow {
  const float* gamma;
  const float* beta;
  const float* scale;
  const float* shift;
  double eps;
};

}  // namespace psagen::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace psagen::kernels::cpu::HWY_NAMESPACE {

void rms_norm_row(const float* x, const float* gamma, std::int64_t width, double eps, float* y) {
  const FloatTag d;
  const double mean = row_sum_of_squares(d, x, width) / static_cast<double>(width);
  const FloatVec inverse = hn::Set(d, static_cast<float>(1.0 / std::sqrt(mean + eps)));
  for (std::int64_t i = 0; i < width; i += float_lanes()) {
    const FloatVec value = hn::Mul(load_floats(d, x + i, width - i), inverse);
    store_floats(hn::Mul(value, load_floats(d, gamma + i, width - i)), d, y + i, width - i);
  }
}

HWY_INLINE double centred_variance(FloatTag d, const float* x, std::int64_t width, float mean) {
  const FloatVec centre = hn::Set(d, mean);
  FloatVec sum = hn::Zero(d);
  const std::int64_t lanes = float_lanes();
  std::int64_t i = 0;
  for (; i + lanes <= width; i += lanes) {
    const FloatVec difference = hn::Sub(hn::LoadU(d, x + i), centre);
    sum = hn::MulAdd(difference, difference, sum);
  }
  double total = join_lanes(d, sum);
  for (; i < width; ++i) total += static_cast<double>(x[i] - mean) * (x[i] - mean);
  return total / static_cast<double>(width);
}

void layer_norm_row(const float* x, const LayerNormRow& row, std::int64_t width, float* y) {
  const FloatTag d;
  const float mean = static_cast<float>(row_sum(d, x, width) / static_cast<double>(width));
  const double variance = centred_variance(d, x, width, mean);
  const FloatVec centre = hn::Set(d, mean);
  const FloatVec inverse = hn::Set(d, static_cast<float>(1.0 / std::sqrt(variance + row.eps)));
  const FloatVec one = hn::Set(d, 1.0f);
  for (std::int64_t i = 0; i < width; i += float_lanes()) {
    const std::int64_t left = width - i;
    FloatVec value = hn::Mul(hn::Sub(load_floats(d, x + i, left), centre), inverse);
    if (row.gamma != nullptr)
      value = hn::MulAdd(value, load_floats(d, row.gamma + i, left),
                         load_floats(d, row.beta + i, left));
    if (row.scale != nullptr)
      value = hn::MulAdd(value, hn::Add(one, load_floats(d, row.scale + i, left)),
                         load_floats(d, row.shift + i, left));
    store_floats(value, d, y + i, left);
  }
}

// x = x + gate * y
void add_row(const float* y, const float* gate, std::int64_t width, float* x) {
  const FloatTag d;
  for (std::int64_t i = 0; i < width; i += float_lanes()) {
    const std::int64_t left = width - i;
    const FloatVec before = load_floats(d, x + i, left), change = load_floats(d, y + i, left);
    const FloatVec value = gate != nullptr
                               ? hn::MulAdd(load_floats(d, gate + i, left), change, before)
                               : hn::Add(change, before);
    store_floats(value, d, x + i, left);
  }
}

void channel_norm_row(const float* x, const float* gamma, std::int64_t width, bool with_silu,
                      float* y) {
  const FloatTag d;
  const double norm = std::sqrt(row_sum_of_squares(d, x, width));
  const FloatVec factor =
      hn::Set(d, static_cast<float>(std::sqrt(static_cast<double>(width)) / std::max(norm, 1e-12)));
  for (std::int64_t i = 0; i < width; i += float_lanes()) {
    FloatVec value = hn::Mul(load_floats(d, x + i, width - i), factor);
    value = hn::Mul(value, load_floats(d, gamma + i, width - i));
    if (with_silu) value = silu(d, value);
    store_floats(value, d, y + i, width - i);
  }
}

}  // namespace psagen::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace psagen::kernels::cpu {
namespace {

HWY_EXPORT(rms_norm_row);
HWY_EXPORT(layer_norm_row);
HWY_EXPORT(add_row);
HWY_EXPORT(channel_norm_row);

}  // namespace

void rms_norm(Context& context, const RmsNormArgs& args) {
  Workspace::Scope scratch(context.workspace());
  const float* gamma = as_floats(args.gamma, scratch);
  const auto x = row_view<float>(args.x);
  const auto y = row_view<float>(args.y);
  const auto norm = HWY_DYNAMIC_DISPATCH(rms_norm_row);
  parallel_for(context, x.num_rows(), row_grain(x.width),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i)
                   norm(x.row(i), gamma, x.width, args.eps, y.row(i));
               });
}

namespace {

// The parameters of a layer norm as float32, those of a batch row by row.
template <typename Args>
class LayerNormParameters {
 public:
  LayerNormParameters(const Args& args, Workspace::Scope& scratch)
      : args_(args), gamma_(as_floats(args.gamma, scratch)), beta_(as_floats(args.beta, scratch)) {}

  LayerNormRow row(std::int64_t batch) const {
    return {gamma_, beta_, batch_row(args_.scale, batch), batch_row(args_.shift, batch), args_.eps};
  }

  static const float* batch_row(const ConstTensorView& view, std::int64_t batch) {
    return view ? view.data<float>() + batch * view.stride(0) : nullptr;
  }

 private:
  const Args& args_;
  const float* gamma_;
  const float* beta_;
};

}  // namespace

void layer_norm(Context& context, const LayerNormArgs& args) {
  Workspace::Scope scratch(context.workspace());
  const LayerNormParameters parameters(args, scratch);
  const auto x = row_view<float>(args.x);
  const auto y = row_view<float>(args.y);
  const auto norm = HWY_DYNAMIC_DISPATCH(layer_norm_row);
  parallel_for(context, x.num_rows(), row_grain(x.width),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i)
                   norm(x.row(i), parameters.row(i / x.rows), x.width, y.row(i));
               });
}

void residual_norm(Context& context, const ResidualNormArgs& args) {
  Workspace::Scope scratch(context.workspace());
  const LayerNormParameters parameters(args, scratch);
  const auto x = row_view<float>(args.x);
  const auto y = row_view<float>(args.y);
  const auto h = row_view<float>(args.h);
  const auto add = HWY_DYNAMIC_DISPATCH(add_row);
  const auto norm = HWY_DYNAMIC_DISPATCH(layer_norm_row);
  std::atomic<std::int32_t> nonfinite = 0;
  parallel_for(context, x.num_rows(), row_grain(x.width),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i) {
                   const std::int64_t batch = i / x.rows;
                   add(y.row(i), parameters.batch_row(args.gate, batch), x.width, x.row(i));
                   if (args.nonfinite && count_nonfinite(x.row(i), x.width) > 0) ++nonfinite;
                   norm(x.row(i), parameters.row(batch), x.width, h.row(i));
                 }
               });
  if (args.nonfinite) *args.nonfinite.data<std::int32_t>() += nonfinite;
}

void channel_norm(Context& context, const ChannelNormArgs& args) {
  Workspace::Scope scratch(context.workspace());
  const float* gamma = as_floats(args.gamma, scratch);
  const auto x = join_batches(row_view<float>(args.x));
  const auto y = join_batches(row_view<float>(args.y));
  const auto norm = HWY_DYNAMIC_DISPATCH(channel_norm_row);
  parallel_for(context, x.num_rows(), row_grain(x.width),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i)
                   norm(x.row(i), gamma, x.width, args.silu, y.row(i));
               });
}

}  // namespace psagen::kernels::cpu
#endif  // HWY_ONCE
