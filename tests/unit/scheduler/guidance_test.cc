#include "scheduler/guidance.h"

#include <gtest/gtest.h>

namespace psagen::scheduler {
namespace {

TEST(Guidance, ExtrapolatesFromTheNegativeVelocity) {
  const GuidanceWeights weights = guidance_weights(5.0);
  const double positive = 0.75, negative = -0.5;
  EXPECT_DOUBLE_EQ(weights.positive * positive + weights.negative * negative,
                   negative + 5.0 * (positive - negative));
  EXPECT_TRUE(weights.needs_negative());
}

TEST(Guidance, IsOffAtOneAndBelow) {
  for (const double scale : {1.0, 0.5, 0.0, -3.0}) {
    const GuidanceWeights weights = guidance_weights(scale);
    EXPECT_EQ(weights.positive, 1.0) << scale;
    EXPECT_FALSE(weights.needs_negative()) << scale;
  }
}

}  // namespace
}  // namespace psagen::scheduler
