// Sums over a row of float32. Compiled once per Highway target.
//
// Each lane adds up every lanes-th element, and the lanes are joined as a tree: few additions one
// after the other, so that the error stays near that of one rounding.
#include <cstdint>

#if defined(PSAGEN_KERNELS_CPU_REDUCE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef PSAGEN_KERNELS_CPU_REDUCE_INL_H
#undef PSAGEN_KERNELS_CPU_REDUCE_INL_H
#else
#define PSAGEN_KERNELS_CPU_REDUCE_INL_H
#endif

#include "hwy/highway.h"
#include "kernels/cpu/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace psagen::kernels::cpu::HWY_NAMESPACE {

HWY_INLINE double join_lanes(FloatTag d, FloatVec v) {
  return static_cast<double>(hn::GetLane(hn::SumOfLanes(d, v)));
}

HWY_INLINE double row_sum(FloatTag d, const float* x, std::int64_t width) {
  FloatVec sum0 = hn::Zero(d), sum1 = hn::Zero(d);
  const std::int64_t lanes = float_lanes();
  std::int64_t i = 0;
  for (; i + 2 * lanes <= width; i += 2 * lanes) {
    sum0 = hn::Add(sum0, hn::LoadU(d, x + i));
    sum1 = hn::Add(sum1, hn::LoadU(d, x + i + lanes));
  }
  for (; i < width; i += lanes) sum0 = hn::Add(sum0, load_floats(d, x + i, width - i));
  return join_lanes(d, hn::Add(sum0, sum1));
}

HWY_INLINE double row_sum_of_squares(FloatTag d, const float* x, std::int64_t width) {
  FloatVec sum0 = hn::Zero(d), sum1 = hn::Zero(d);
  const std::int64_t lanes = float_lanes();
  std::int64_t i = 0;
  for (; i + 2 * lanes <= width; i += 2 * lanes) {
    const FloatVec x0 = hn::LoadU(d, x + i);
    const FloatVec x1 = hn::LoadU(d, x + i + lanes);
    sum0 = hn::MulAdd(x0, x0, sum0);
    sum1 = hn::MulAdd(x1, x1, sum1);
  }
  for (; i < width; i += lanes) {
    const FloatVec part = load_floats(d, x + i, width - i);
    sum0 = hn::MulAdd(part, part, sum0);
  }
  return join_lanes(d, hn::Add(sum0, sum1));
}

}  // namespace psagen::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
