// How far a key block may be pooled before its keys disagree (official code, calc_ksim_kernel.py at
// commit be122cf; spec psa.md 3.5): the cosine of the first and last key of each group of 2, 4 and
// 8 tokens, averaged over the groups of the block. The tests are independent: a block may pass at 8
// and fail at 2.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>

#include "kernels/cpu/psa/psa_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/psa/key_similarity.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace psagen::kernels::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// In [-1, 1]. Two zero keys agree: pooling them loses nothing.
double cosine(const float* HWY_RESTRICT a, const float* HWY_RESTRICT b, std::int64_t depth) {
  const hn::CappedTag<float, 8> d;  // depth is a multiple of 8
  auto dot = hn::Zero(d), aa = hn::Zero(d), bb = hn::Zero(d);
  for (std::int64_t i = 0; i < depth; i += static_cast<std::int64_t>(hn::Lanes(d))) {
    const auto x = hn::LoadU(d, a + i);
    const auto y = hn::LoadU(d, b + i);
    dot = hn::MulAdd(x, y, dot);
    aa = hn::MulAdd(x, x, aa);
    bb = hn::MulAdd(y, y, bb);
  }
  const double norms = std::sqrt(static_cast<double>(hn::GetLane(hn::SumOfLanes(d, aa))) *
                                 static_cast<double>(hn::GetLane(hn::SumOfLanes(d, bb))));
  if (norms == 0.0) return std::equal(a, a + depth, b) ? 1.0 : 0.0;
  return std::clamp(static_cast<double>(hn::GetLane(hn::SumOfLanes(d, dot))) / norms, -1.0, 1.0);
}

}  // namespace
}  // namespace psagen::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace psagen::kernels::cpu {
namespace {
HWY_EXPORT(cosine);
}

std::uint8_t similar_up_to_level(const float* keys, std::int64_t stride, std::int64_t count,
                                 std::int64_t depth, std::span<const double, 3> thresholds) {
  std::uint8_t cap = 1;
  for (std::size_t i = 0; i < thresholds.size(); ++i) {
    const std::int64_t level = kPsaLevels[i + 1];
    double sum = 0.0;
    std::int64_t groups = 0;
    for (std::int64_t first = 0; first < count; first += level, ++groups) {
      const std::int64_t last = std::min(first + level, count) - 1;
      sum += HWY_DYNAMIC_DISPATCH(cosine)(keys + first * stride, keys + last * stride, depth);
    }
    // -1 stands for no cap, even for keys that point in opposite directions.
    if (thresholds[i] <= -1.0 || sum > thresholds[i] * static_cast<double>(groups))
      cap = static_cast<std::uint8_t>(level);
  }
  return cap;
}

}  // namespace psagen::kernels::cpu
#endif  // HWY_ONCE
