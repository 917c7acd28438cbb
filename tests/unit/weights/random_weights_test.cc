#include "engine/weights/random_weights.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/weights/weights.h"

namespace psagen::engine {
namespace {

TEST(RandomWeights, HasEveryTensorInTheShapeWanted) {
  Context context;
  const Weights weights(std::make_shared<RandomWeights>(), context);
  const Parameter matrix = weights.child("blocks").child(7).get({30, 50}, "weight");
  ASSERT_EQ(matrix.view().shape(), (Shape{30, 50}));
  double sum = 0.0, squares = 0.0;
  for (int i = 0; i < 1500; ++i) {
    const double value = to_float(matrix.view().data<bf16>()[i]);
    ASSERT_LE(std::abs(value), 0.03125);
    sum += value;
    squares += value * value;
  }
  // Uniform in [-1/32, 1/32): mean 0, standard deviation 1 / (32 sqrt(3)); 1,500 draws.
  EXPECT_NEAR(sum / 1500, 0.0, 4 * 0.018 / std::sqrt(1500.0));
  EXPECT_NEAR(std::sqrt(squares / 1500), 0.03125 / std::sqrt(3.0), 0.001);
  weights.expect_all_read();
}

TEST(RandomWeights, TensorsOfOneSizeShareTheirBytes) {
  Context context;
  const Weights weights(std::make_shared<RandomWeights>(), context);
  EXPECT_EQ(weights.get({4, 6}, "a").view().bytes(), weights.get({6, 4}, "b").view().bytes());
  EXPECT_NE(weights.get({4, 6}, "a").view().bytes(), weights.get({4, 5}, "c").view().bytes());
}

}  // namespace
}  // namespace psagen::engine
