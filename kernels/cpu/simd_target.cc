#include "kernels/cpu/simd_target.h"

#include "hwy/highway.h"
#include "hwy/targets.h"

namespace psagen::kernels::cpu {

void choose_simd_target() { hwy::GetChosenTarget().Update(hwy::SupportedTargets()); }

void limit_simd_target(SimdTarget target) {
  hwy::SetSupportedTargetsForTest(0);
  const std::int64_t available = hwy::SupportedTargets();
  if (target == SimdTarget::kAvx2) {
    // A lower bit is a better target.
    hwy::SetSupportedTargetsForTest(available & ~(static_cast<std::int64_t>(HWY_AVX2) - 1));
  } else if (target == SimdTarget::kBaseline) {
    hwy::SetSupportedTargetsForTest(HWY_STATIC_TARGET);
  }
  choose_simd_target();
}

const char* simd_target_name() {
  const std::int64_t targets = hwy::SupportedTargets() & HWY_TARGETS;
  return hwy::TargetName(targets & -targets);
}

}  // namespace psagen::kernels::cpu
