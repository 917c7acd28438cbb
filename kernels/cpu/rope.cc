#include "kernels/cpu/rope.h"

#include <cmath>

#include "kernels/core/row_view.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/widen.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rope.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/reduce-inl.h"

HWY_BEFORE_NAMESPACE();
namespace psagen::kernels::cpu::HWY_NAMESPACE {

// One head: (a, b) -> (a cos - b sin, a sin + b cos) on adjacent pairs of x * inverse * gamma.
HWY_INLINE void rotate_head(FloatTag d, const float* x, const float* gamma, float inverse,
                            const float* rope_cos, const float* rope_sin, std::int64_t pairs,
                            float* y) {
  const FloatVec factor = hn::Set(d, inverse);
  std::int64_t i = 0;
  for (; i + float_lanes() <= pairs; i += float_lanes()) {
    FloatVec a, b, gamma_a, gamma_b;
    hn::LoadInterleaved2(d, x + 2 * i, a, b);
    hn::LoadInterleaved2(d, gamma + 2 * i, gamma_a, gamma_b);
    a = hn::Mul(hn::Mul(a, factor), gamma_a);
    b = hn::Mul(hn::Mul(b, factor), gamma_b);
    const FloatVec cosine = hn::LoadU(d, rope_cos + i);
    const FloatVec sine = hn::LoadU(d, rope_sin + i);
    const FloatVec real = hn::MulSub(a, cosine, hn::Mul(b, sine));
    const FloatVec imaginary = hn::MulAdd(a, sine, hn::Mul(b, cosine));
    hn::StoreInterleaved2(real, imaginary, d, y + 2 * i);
  }
  for (; i < pairs; ++i) {
    const float a = x[2 * i] * inverse * gamma[2 * i];
    const float b = x[2 * i + 1] * inverse * gamma[2 * i + 1];
    y[2 * i] = a * rope_cos[i] - b * rope_sin[i];
    y[2 * i + 1] = a * rope_sin[i] + b * rope_cos[i];
  }
}

void rotate_row(const float* x, const float* gamma, double eps, const float* rope_cos,
                const float* rope_sin, std::int64_t heads, std::int64_t head_dim, float* y) {
  const FloatTag d;
  const std::int64_t width = heads * head_dim;
  const double mean = row_sum_of_squares(d, x, width) / static_cast<double>(width);
  const float inverse = static_cast<float>(1.0 / std::sqrt(mean + eps));
  for (std::int64_t i = 0; i < width; i += head_dim)
    rotate_head(d, x + i, gamma + i, inverse, rope_cos, rope_sin, head_dim / 2, y + i);
}

}  // namespace psagen::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace psagen::kernels::cpu {
namespace {

HWY_EXPORT(rotate_row);

}  // namespace

void rms_norm_rope(Context& context, const RmsNormRopeArgs& args) {
  Workspace::Scope scratch(context.workspace());
  const float* gamma = as_floats(args.gamma, scratch);
  const auto x = row_view<float>(args.x);
  const std::int64_t heads = args.y.dim(2), head_dim = args.y.dim(3);
  float* y = args.y.data<float>();
  const float* rope_cos = args.rope_cos.data<float>();
  const float* rope_sin = args.rope_sin.data<float>();
  const auto rotate = HWY_DYNAMIC_DISPATCH(rotate_row);
  const std::int64_t batch_stride = args.y.stride(0), row_stride = args.y.stride(1);
  parallel_for(context, x.num_rows(), row_grain(x.width),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i) {
                   const std::int64_t batch = i / x.rows, token = i % x.rows;
                   rotate(x.row(batch, token), gamma, args.eps, rope_cos + token * (head_dim / 2),
                          rope_sin + token * (head_dim / 2), heads, head_dim,
                          y + batch * batch_stride + token * row_stride);
                 }
               });
}

}  // namespace psagen::kernels::cpu
#endif  // HWY_ONCE
