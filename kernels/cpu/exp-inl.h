// Exponentials and the activations made of them, on Highway vectors of float32. Compiled once per
// Highway target.
#include <cstdint>

#if defined(PSAGEN_KERNELS_CPU_EXP_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef PSAGEN_KERNELS_CPU_EXP_INL_H
#undef PSAGEN_KERNELS_CPU_EXP_INL_H
#else
#define PSAGEN_KERNELS_CPU_EXP_INL_H
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace psagen::kernels::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::ScalableTag<float>;
using FloatVec = hn::Vec<FloatTag>;

// Added to a number of at most 2^22, this rounds it to a whole number n, and n + 127, the exponent
// of 2^n, is what the lowest bits of the sum then say: cheaper than rounding and converting.
inline constexpr float kRoundingShift = 0x1.8p23f + 127.0f;

// 2^n * 2^r for |r| <= 1/2, as long as the result is a normal number; `shifted` is n +
// kRoundingShift. NaN stays NaN, as the power is a factor and not added to the exponent's bits. The
// polynomial is the minimax fit of 2^r by the Remez algorithm, relative error 2e-9.
HWY_INLINE FloatVec exp2_of_parts(FloatTag d, FloatVec shifted, FloatVec r) {
  const hn::RebindToSigned<FloatTag> di;
  FloatVec p = hn::Set(d, 1.5347320e-4f);
  p = hn::MulAdd(p, r, hn::Set(d, 1.34001545e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 9.61848424e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 5.55032808e-2f));
  p = hn::MulAdd(p, r, hn::Set(d, 2.40226469e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 6.93147206e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f));
  const FloatVec power = hn::BitCast(d, hn::ShiftLeft<23>(hn::BitCast(di, shifted)));
  return hn::Mul(p, power);
}

// 2^x for x <= 0; -inf and everything below the normal numbers gives 0, NaN gives NaN.
HWY_INLINE FloatVec exp2_nonpositive(FloatTag d, FloatVec x) {
  const FloatVec shift = hn::Set(d, kRoundingShift);
  const FloatVec shifted = hn::Add(x, shift);
  const FloatVec value = exp2_of_parts(d, shifted, hn::Sub(x, hn::Sub(shifted, shift)));
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -126.0f)), value);
}

// e^x, x first clamped to [-87, 87], where the result is a normal number. log2(e) comes in two
// parts, so that the product's rounding does not grow with x.
HWY_INLINE FloatVec exp_clamped(FloatTag d, FloatVec x) {
  x = hn::Min(hn::Max(x, hn::Set(d, -87.0f)), hn::Set(d, 87.0f));
  const FloatVec log2e_high = hn::Set(d, 1.44269502e+0f);
  const FloatVec log2e_low = hn::Set(d, 1.92596299e-8f);
  const FloatVec shift = hn::Set(d, kRoundingShift);
  const FloatVec shifted = hn::MulAdd(x, log2e_high, shift);
  const FloatVec n = hn::Sub(shifted, shift);
  const FloatVec r = hn::MulAdd(x, log2e_low, hn::MulSub(x, log2e_high, n));
  return exp2_of_parts(d, shifted, r);
}

// x sigmoid(x)
HWY_INLINE FloatVec silu(FloatTag d, FloatVec x) {
  return hn::Div(x, hn::Add(hn::Set(d, 1.0f), exp_clamped(d, hn::Neg(x))));
}

// 0.5 x (1 + tanh u) = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3)
HWY_INLINE FloatVec gelu_tanh(FloatTag d, FloatVec x) {
  constexpr double kLinear = -2.0 * 0.79788456080286536;
  const FloatVec slope =
      hn::MulAdd(hn::Mul(x, x), hn::Set(d, static_cast<float>(kLinear * 0.044715)),
                 hn::Set(d, static_cast<float>(kLinear)));
  const FloatVec e = exp_clamped(d, hn::Mul(x, slope));
  return hn::Div(x, hn::Add(hn::Set(d, 1.0f), e));
}

}  // namespace psagen::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
