#include "kernels/cpu/simd_target.h"

#include <gtest/gtest.h>

#include <string>

namespace psagen::kernels::cpu {
namespace {

TEST(SimdTargetTest, ALimitIsObeyedAndLifted) {
  limit_simd_target(SimdTarget::kBest);
  const std::string best = simd_target_name();
  limit_simd_target(SimdTarget::kAvx2);
  EXPECT_STRNE(simd_target_name(), "AVX3");
  limit_simd_target(SimdTarget::kBaseline);
  const std::string baseline = simd_target_name();
  EXPECT_NE(baseline, "AVX3");
  EXPECT_NE(baseline, "AVX2");
  limit_simd_target(SimdTarget::kBest);
  EXPECT_EQ(simd_target_name(), best);
}

}  // namespace
}  // namespace psagen::kernels::cpu
