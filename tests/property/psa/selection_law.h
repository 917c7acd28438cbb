// What the laws of block selection share: parameters, inputs and the host's rule.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>

#include "kernels/psa/level_allocation.h"
#include "tests/property/psa/psa_law.h"

namespace psagen::kernels {

class SelectionLaw : public PsaLaw {
 protected:
  PsaParams params(LevelSelection selection, std::array<double, 4> bounds) const {
    PsaParams params;
    params.key_block = GetParam().key_block;
    params.selection = selection;
    params.level_bounds = bounds;
    return params;
  }
};

inline constexpr std::array<double, 4> kQuotaBounds = {0.10, 0.20, 0.30, 0.60};
inline constexpr std::array<double, 4> kThresholdBounds = {0.40, 0.55, 0.70, 0.85};

// A random walk along the sequence, of unit variance.
inline void make_smooth(PsaProblem& problem, Tensor& x) {
  for (std::int64_t head = 0; head < problem.size().heads; ++head)
    for (std::int64_t t = 1; t < problem.size().tokens; ++t)
      for (std::int64_t d = 0; d < problem.size().depth; ++d)
        problem.at(x, t, d, head) =
            0.99f * problem.at(x, t - 1, d, head) + 0.141f * problem.at(x, t, d, head);
}

inline void expect_mask_follows_importance(PsaProblem& problem, const PsaParams& params,
                                           const std::vector<float>& importance) {
  const std::size_t blocks = static_cast<std::size_t>(problem.key_blocks());
  std::vector<std::int32_t> order(blocks);
  std::vector<double> weight(blocks), cumulative(blocks);
  PsaProblem::Levels levels(blocks);
  for (std::int64_t row = 0; row < problem.mask.num_rows(); ++row) {
    const std::span<const float> scores =
        std::span(importance).subspan(static_cast<std::size_t>(row) * blocks, blocks);
    allocate_levels(scores, {}, params, {order, weight, cumulative}, levels);
    ASSERT_EQ(problem.levels_of(row), levels) << "row " << row;
    const std::size_t best =
        static_cast<std::size_t>(std::max_element(scores.begin(), scores.end()) - scores.begin());
    ASSERT_EQ(levels[best], 1) << "row " << row;  // so no row is empty
  }
}

}  // namespace psagen::kernels
