#include "kernels/psa/psa_params.h"

#include <gmock/gmock.h>

#include <cmath>
#include <functional>

#include "kernels/core/error.h"
#include "kernels/psa/pyramid_sparse_attention.h"

namespace psagen::kernels {
namespace {

using ::testing::HasSubstr;

void expect_refused(const std::function<void(PsaParams&)>& spoil, const std::string& field,
                    const std::string& value) {
  PsaParams params;
  spoil(params);
  try {
    validate(params);
    FAIL() << field << " " << value << " passed";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.message(), HasSubstr(field));
    EXPECT_THAT(error.message(), HasSubstr(value));
  }
}

TEST(PsaParams, DefaultsAreValid) { EXPECT_NO_THROW(validate(PsaParams())); }

TEST(PsaParams, RefusalsNameFieldAndValue) {
  expect_refused([](PsaParams& p) { p.query_block = 100; }, "query_block", "100");
  expect_refused([](PsaParams& p) { p.query_block = 0; }, "query_block", "0");
  expect_refused([](PsaParams& p) { p.query_block = 512; }, "query_block", "512");
  expect_refused([](PsaParams& p) { p.key_block = 16; }, "key_block", "16");
  expect_refused([](PsaParams& p) { p.key_block = 96; }, "key_block", "96");
  expect_refused([](PsaParams& p) { p.level_bounds[3] = 1.5; }, "level_bounds", "1.5");
  expect_refused([](PsaParams& p) { p.level_bounds[0] = -0.1; }, "level_bounds", "-0.1");
  expect_refused(
      [](PsaParams& p) {
        p.level_bounds = {0.5, 0.4, 0.6, 0.7};
      },
      "level_bounds", "0.4 follows 0.5");
  expect_refused([](PsaParams& p) { p.level_bounds = {}; }, "level_bounds", "0");
  const LevelBounds falling[] = {{0.1, 0.2, 0.3, 0.4}, {0.2, 0.1, 0.3, 0.4}};
  expect_refused([&](PsaParams& p) { p.head_bounds = falling; }, "level_bounds", "0.1 follows 0.2");
  expect_refused(
      [](PsaParams& p) {
        p.estimator = ImportanceEstimator::kUniform;
        p.selection = LevelSelection::kThreshold;
      },
      "estimator", "uniform");
  expect_refused([](PsaParams& p) { p.level_bounds[1] = std::nan(""); }, "level_bounds", "nan");
  expect_refused([](PsaParams& p) { p.min_full_ratio = 2.0; }, "min_full_ratio", "2");
  expect_refused([](PsaParams& p) { p.similarity_thresholds[1] = -1.5; }, "similarity_thresholds",
                 "-1.5");
}

TEST(PsaParams, BoundsOfAHeadAreItsOwnOrThoseOfAll) {
  PsaParams params;
  EXPECT_EQ(bounds_of_head(params, 1), params.level_bounds);
  const LevelBounds bounds[] = {{0.1, 0.2, 0.3, 0.4}, {1.0, 1.0, 1.0, 1.0}};
  params.head_bounds = bounds;
  EXPECT_EQ(bounds_of_head(params, 1), bounds[1]);
  EXPECT_EQ(params_of_head(params, 0).level_bounds, bounds[0]);
  EXPECT_TRUE(params_of_head(params, 0).head_bounds.empty());
}

}  // namespace
}  // namespace psagen::kernels
