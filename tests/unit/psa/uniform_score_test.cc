#include "kernels/psa/uniform_score.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <vector>

namespace psagen::kernels {
namespace {

TEST(UniformScore, IsAFixedMultipleOfItsStep) {
  // A change of these would change every clip made with the estimator.
  EXPECT_EQ(uniform_score(0, 0, 0), static_cast<float>(0x6627e8d5u >> 9) * 0x1p-19f);
  for (std::uint32_t j = 0; j < 1000; ++j) {
    const float steps = uniform_score(3, 5, j) * 0x1p19f;
    EXPECT_EQ(steps, std::floor(steps));
    EXPECT_GE(steps, 0.0f);
    EXPECT_LT(steps, 0x1p23f);
  }
}

TEST(UniformScore, HeadsAndQueryBlocksHaveRowsOfTheirOwn) {
  std::set<float> seen;
  for (std::uint32_t head = 0; head < 4; ++head)
    for (std::uint32_t i = 0; i < 8; ++i)
      for (std::uint32_t j = 0; j < 8; ++j) seen.insert(uniform_score(head, i, j));
  EXPECT_EQ(seen.size(), 4u * 8u * 8u);
}

// Devices differ by up to two float32 spacings in exp2, which must not change an order.
TEST(UniformScore, WeightsKeepTheirOrderWithASpaceBetweenThem) {
  for (const float score : {0.0f, 0.37f, 7.99f, 15.9f}) {
    const float low = std::floor(score * 0x1p19f) * 0x1p-19f;
    const float weight = std::exp2(low - 16.0f), above = std::exp2(low + 0x1p-19f - 16.0f);
    const float spacing = std::nextafter(weight, 1.0f) - weight;
    EXPECT_GE(above - weight, 10.0f * spacing) << score;
  }
}

TEST(UniformScore, SpreadsTheBestBlocksEvenly) {
  constexpr std::uint32_t kBlocks = 16, kRows = 4000;
  std::vector<int> best(kBlocks);
  for (std::uint32_t row = 0; row < kRows; ++row) {
    std::uint32_t found = 0;
    for (std::uint32_t j = 1; j < kBlocks; ++j)
      if (uniform_score(1, row, j) > uniform_score(1, row, found)) found = j;
    ++best[found];
  }
  for (const int count : best) EXPECT_NEAR(count, kRows / kBlocks, 80);  // five deviations
}

}  // namespace
}  // namespace psagen::kernels
