#include "kernels/psa/sampling.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace psagen::kernels {
namespace {

TEST(Sampling, TakesAQuarterWithoutRepetition) {
  for (const int block : {32, 64, 128, 256})
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
      const auto positions = sampled_positions(seed, SampledSide::kKey, 3, block);
      ASSERT_EQ(positions.size(), static_cast<std::size_t>(block / 4)) << seed;
      ASSERT_TRUE(std::is_sorted(positions.begin(), positions.end())) << seed;
      ASSERT_EQ(std::adjacent_find(positions.begin(), positions.end()), positions.end()) << seed;
      ASSERT_GE(positions.front(), 0);
      ASSERT_LT(positions.back(), block);
    }
}

TEST(Sampling, DependsOnSeedHeadAndSideOnly) {
  const auto base = sampled_positions(7, SampledSide::kKey, 0, 128);
  EXPECT_EQ(base, sampled_positions(7, SampledSide::kKey, 0, 128));
  EXPECT_NE(base, sampled_positions(8, SampledSide::kKey, 0, 128));
  EXPECT_NE(base, sampled_positions(7, SampledSide::kQuery, 0, 128));
  EXPECT_NE(base, sampled_positions(7, SampledSide::kKey, 1, 128));
  EXPECT_NE(base, sampled_positions(7 + (1ull << 32), SampledSide::kKey, 0, 128));
}

TEST(Sampling, EveryPositionIsDrawnAboutAQuarterOfTheTime) {
  std::vector<int> drawn(64, 0);
  constexpr int kDraws = 4000;
  for (std::uint64_t seed = 0; seed < kDraws; ++seed)
    for (const std::int32_t position : sampled_positions(seed, SampledSide::kQuery, 0, 64))
      ++drawn[static_cast<std::size_t>(position)];
  // Mean 1000, standard deviation 27.4; 5 of them would be met once in 30,000 such tests.
  for (std::size_t i = 0; i < drawn.size(); ++i) EXPECT_NEAR(drawn[i], kDraws / 4, 137) << i;
}

}  // namespace
}  // namespace psagen::kernels
