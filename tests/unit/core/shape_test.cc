#include "kernels/core/shape.h"

#include <gtest/gtest.h>

#include <sstream>

namespace psagen {
namespace {

TEST(ShapeTest, CountsFromBothEnds) {
  Shape shape = {2, 3, 4};
  EXPECT_EQ(shape.rank(), 3);
  EXPECT_EQ(shape[0], 2);
  EXPECT_EQ(shape[-1], 4);
  EXPECT_EQ(shape[-3], 2);
  shape[-2] = 7;
  EXPECT_EQ(shape, (Shape{2, 7, 4}));
}

TEST(ShapeTest, NumElements) {
  EXPECT_EQ((Shape{}.num_elements()), 1);
  EXPECT_EQ((Shape{5}.num_elements()), 5);
  EXPECT_EQ((Shape{5, 0, 3}.num_elements()), 0);
  EXPECT_EQ((Shape{1 << 20, 1 << 20}.num_elements()), std::int64_t{1} << 40);
}

TEST(ShapeTest, EqualityLooksAtRankAndDimensions) {
  EXPECT_EQ((Shape{1, 2}), (Shape{1, 2}));
  EXPECT_FALSE((Shape{1, 2} == Shape{2, 1}));
  EXPECT_FALSE((Shape{1, 2} == Shape{1, 2, 1}));
}

TEST(ShapeTest, Prints) {
  std::ostringstream out;
  out << Shape{2, 30} << Shape{};
  EXPECT_EQ(out.str(), "[2, 30][]");
}

TEST(ShapeTest, RefusesASeventhDimensionAndNegativeOnes) {
  Shape shape = {1, 1, 1, 1, 1, 1};
  EXPECT_THROW(shape.push_back(1), Error);
  EXPECT_THROW((Shape{3, -1}), Error);
}

}  // namespace
}  // namespace psagen
