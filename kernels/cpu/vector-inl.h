// Loads and stores of float32 vectors: widening from 16-bit types, and parts of a vector at the end
// of a row. Compiled once per Highway target.
#include <algorithm>
#include <cstdint>

#include "kernels/core/dtype.h"

#if defined(PSAGEN_KERNELS_CPU_VECTOR_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef PSAGEN_KERNELS_CPU_VECTOR_INL_H
#undef PSAGEN_KERNELS_CPU_VECTOR_INL_H
#else
#define PSAGEN_KERNELS_CPU_VECTOR_INL_H
#endif

#include "hwy/highway.h"
#include "kernels/cpu/exp-inl.h"

HWY_BEFORE_NAMESPACE();
namespace psagen::kernels::cpu::HWY_NAMESPACE {

HWY_INLINE std::int64_t float_lanes() { return static_cast<std::int64_t>(hn::Lanes(FloatTag())); }

HWY_INLINE FloatVec load_floats(FloatTag d, const float* p) { return hn::LoadU(d, p); }

HWY_INLINE FloatVec load_floats(FloatTag d, const bf16* p) {
  const hn::Rebind<hwy::bfloat16_t, FloatTag> d16;
  return hn::PromoteTo(d, hn::LoadU(d16, reinterpret_cast<const hwy::bfloat16_t*>(p)));
}

HWY_INLINE FloatVec load_floats(FloatTag d, const f16* p) {
  const hn::Rebind<hwy::float16_t, FloatTag> d16;
  return hn::PromoteTo(d, hn::LoadU(d16, reinterpret_cast<const hwy::float16_t*>(p)));
}

// The first `count` of a vector's lanes, the rest zeros; a whole vector where count >= lanes.
template <typename T>
HWY_INLINE FloatVec load_floats(FloatTag d, const T* p, std::int64_t count) {
  if (HWY_LIKELY(count >= float_lanes())) return load_floats(d, p);
  HWY_ALIGN T part[HWY_MAX_BYTES / sizeof(float)] = {};
  std::copy_n(p, count, part);
  return load_floats(d, part);
}

HWY_INLINE void store_floats(FloatVec v, FloatTag d, float* p, std::int64_t count) {
  if (HWY_LIKELY(count >= float_lanes())) return hn::StoreU(v, d, p);
  HWY_ALIGN float part[HWY_MAX_BYTES / sizeof(float)];
  hn::Store(v, d, part);
  std::copy_n(part, count, p);
}

}  // namespace psagen::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
