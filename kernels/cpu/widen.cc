#include "kernels/cpu/widen.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/widen.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace psagen::kernels::cpu::HWY_NAMESPACE {

template <typename T>
void widen_all(const T* source, std::int64_t count, float* out) {
  const FloatTag d;
  const std::int64_t lanes = float_lanes();
  for (std::int64_t i = 0; i < count; i += lanes)
    store_floats(load_floats(d, source + i, count - i), d, out + i, count - i);
}

void widen_bf16(const bf16* source, std::int64_t count, float* out) {
  widen_all(source, count, out);
}

void widen_f16(const f16* source, std::int64_t count, float* out) { widen_all(source, count, out); }

}  // namespace psagen::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace psagen::kernels::cpu {

HWY_EXPORT(widen_bf16);
HWY_EXPORT(widen_f16);

void widen(const std::byte* source, DType dtype, std::int64_t count, float* out) {
  if (dtype == DType::kBF16) {
    HWY_DYNAMIC_DISPATCH(widen_bf16)(reinterpret_cast<const bf16*>(source), count, out);
  } else if (dtype == DType::kF16) {
    HWY_DYNAMIC_DISPATCH(widen_f16)(reinterpret_cast<const f16*>(source), count, out);
  } else {
    PSAGEN_ASSERT(dtype == DType::kF32);
    std::copy_n(reinterpret_cast<const float*>(source), count, out);
  }
}

const float* as_floats(const ConstTensorView& view, Workspace::Scope& scratch) {
  if (!view) return nullptr;
  if (view.dtype() == DType::kF32) return view.data<float>();
  float* out = scratch.take<float>(static_cast<std::size_t>(view.num_elements()));
  widen(view.bytes(), view.dtype(), view.num_elements(), out);
  return out;
}

}  // namespace psagen::kernels::cpu
#endif  // HWY_ONCE
