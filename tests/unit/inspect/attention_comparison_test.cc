#include "engine/inspect/attention_comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/unit/inspect/random_attention.h"

namespace psagen::engine {
namespace {

using ::testing::Each;
using ::testing::Ge;
using ::testing::Gt;
using ::testing::Le;
using testing::RandomAttention;

AttentionConfig sparse(std::array<double, 4> bounds) {
  AttentionConfig config;
  config.kind = AttentionKind::kPyramid;
  config.psa.key_block = 32;
  config.psa.level_bounds = bounds;
  return config;
}

class SparseComparison : public ::testing::TestWithParam<bool> {
 protected:
  SparseAttentionResult compare(const AttentionConfig& config) {
    return compare_sparse_attention(attention_.ops(), attention_.inputs(), config,
                                    {.kind = AttentionKind::kPyramid},
                                    dense_attention(attention_.ops(), attention_.inputs()));
  }

  RandomAttention attention_{GetParam()};
};

TEST_P(SparseComparison, EveryBlockInFullIsDense) {
  const SparseAttentionResult result = compare(sparse({1.0, 1.0, 1.0, 1.0}));
  EXPECT_LE(result.layer_error, 1e-6);
  ASSERT_EQ(result.head_error.size(), 2u);
  EXPECT_THAT(result.head_error, Each(Le(1e-6)));
  EXPECT_THAT(result.nominal_density, Each(1.0));
  EXPECT_THAT(result.executed_density, Each(Ge(1.0)));
  EXPECT_EQ(result.query_blocks, 3);
  EXPECT_EQ(result.key_blocks, 10);
  ASSERT_EQ(result.levels.size(), 2u * 3u * 10u);
  EXPECT_THAT(result.levels, Each(1));
}

TEST_P(SparseComparison, FewerBlocksHaveAnError) {
  const SparseAttentionResult coarse = compare(sparse({0.5, 0.5, 0.5, 1.0}));
  const SparseAttentionResult skipped = compare(sparse({0.3, 0.3, 0.3, 0.3}));
  for (const SparseAttentionResult& result : {coarse, skipped}) {
    EXPECT_THAT(result.head_error, Each(Gt(1e-3)));
    EXPECT_GE(result.layer_error,
              *std::min_element(result.head_error.begin(), result.head_error.end()));
    EXPECT_LE(result.layer_error,
              *std::max_element(result.head_error.begin(), result.head_error.end()));
    // On the CPU every head has its values, also of a density.
    EXPECT_EQ(result.executed_density.size(), 2u);
  }
  EXPECT_NEAR(coarse.nominal_density[0], 0.5 + 0.5 / 8, 1e-6);
  EXPECT_NEAR(skipped.nominal_density[0], 0.3, 1e-6);
}

INSTANTIATE_TEST_SUITE_P(OnCpuAndDevice, SparseComparison, ::testing::Bool());

}  // namespace
}  // namespace psagen::engine
