// The grid every law is checked on: block sizes 128, 64, 32 and head dims 64, 128, plus the lower
// vector targets.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "kernels/cpu/simd_target.h"
#include "tests/property/psa/psa_problem.h"

namespace psagen::kernels {

struct LawConfig {
  int key_block;
  std::int64_t depth;
  cpu::SimdTarget target = cpu::SimdTarget::kBest;
};

class PsaLaw : public ::testing::TestWithParam<LawConfig> {
 protected:
  void SetUp() override { cpu::limit_simd_target(GetParam().target); }
  void TearDown() override { cpu::limit_simd_target(cpu::SimdTarget::kBest); }

  std::int64_t n() const { return GetParam().key_block; }
  std::int64_t depth() const { return GetParam().depth; }
  ProblemSize size(std::int64_t tokens) const {
    ProblemSize size;
    size.tokens = tokens;
    size.key_block = GetParam().key_block;
    size.depth = GetParam().depth;
    return size;
  }
};

inline std::string law_config_name(const ::testing::TestParamInfo<LawConfig>& info) {
  const char* target = info.param.target == cpu::SimdTarget::kBest   ? "Best"
                       : info.param.target == cpu::SimdTarget::kAvx2 ? "Avx2"
                                                                     : "Baseline";
  return concat("Block", info.param.key_block, "Depth", info.param.depth, target);
}

inline auto law_configs() {
  return ::testing::Values(
      LawConfig{128, 64}, LawConfig{128, 128}, LawConfig{64, 64}, LawConfig{64, 128},
      LawConfig{32, 64}, LawConfig{32, 128}, LawConfig{128, 64, cpu::SimdTarget::kAvx2},
      LawConfig{32, 128, cpu::SimdTarget::kAvx2}, LawConfig{32, 64, cpu::SimdTarget::kBaseline});
}

}  // namespace psagen::kernels
