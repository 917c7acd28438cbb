#include "kernels/psa/level_allocation.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace psagen::kernels {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

using Levels = std::vector<std::uint8_t>;

Levels allocate(const std::vector<float>& importance, const PsaParams& params,
                const OfficialRounding& rounding = {}, const Levels& caps = {}) {
  const std::size_t blocks = importance.size();
  std::vector<std::int32_t> order(blocks);
  std::vector<double> weight(blocks), cumulative(blocks);
  Levels levels(blocks, 99);
  allocate_levels(importance, caps, params, {order, weight, cumulative}, levels, rounding);
  return levels;
}

PsaParams threshold(std::array<double, 4> bounds, double min_full_ratio = 0.0) {
  PsaParams params;
  params.selection = LevelSelection::kThreshold;
  params.level_bounds = bounds;
  params.min_full_ratio = min_full_ratio;
  return params;
}

PsaParams quota(std::array<double, 4> bounds) {
  PsaParams params;
  params.selection = LevelSelection::kQuota;
  params.level_bounds = bounds;
  return params;
}

std::vector<float> random_row(std::uint64_t seed, std::size_t blocks) {
  std::mt19937_64 random(seed);
  std::vector<float> row(blocks);
  for (float& value : row)
    value = std::exp(static_cast<float>(random() >> 40) / static_cast<float>(1 << 22));
  return row;
}

// Rank of coarseness: finer levels are smaller, skipping is the coarsest.
int coarseness(std::uint8_t level) { return level == 0 ? 16 : level; }

// Spec psa.md 11.11: E = [.5, .3, .1, .06, .04], bounds .4, .5, .6, .8.
const std::vector<float> kHandRow = {0.5f, 0.3f, 0.1f, 0.06f, 0.04f};
const std::array<double, 4> kHandBounds = {0.4, 0.5, 0.6, 0.8};

TEST(LevelAllocation, OfficialRuleWithoutItsRepairs) {
  OfficialRounding bare;
  bare.min_full = false;
  bare.best_block_full = false;
  const std::vector<double> cumulative = {0.5, 0.8, 0.9, 0.96, 1.0};
  EXPECT_THAT(threshold_level_ends(cumulative, threshold(kHandBounds), bare),
              ElementsAre(0, 2, 2, 3));
  EXPECT_THAT(allocate(kHandRow, threshold(kHandBounds), bare), ElementsAre(2, 2, 8, 0, 0));
}

TEST(LevelAllocation, OfficialCodeAt128) {
  const OfficialRounding rounding = official_rounding(128);
  EXPECT_THAT(rounding.merged_blocks, ElementsAre(1, 1, 1, 2));
  EXPECT_THAT(allocate(kHandRow, threshold(kHandBounds, 0.06), rounding),
              ElementsAre(1, 2, 8, 8, 0));
}

TEST(LevelAllocation, OfficialMergeCounts) {
  EXPECT_THAT(official_rounding(64).merged_blocks, ElementsAre(1, 1, 2, 4));
  EXPECT_THAT(official_rounding(32).merged_blocks, ElementsAre(1, 2, 4, 8));
}

TEST(LevelAllocation, OfficialRoundingGoesDownAtTheEndOfTheRow) {
  // Four blocks left for level 8 in groups of 8: rounding up would pass the end, so none is taken.
  const std::vector<float> row = {0.9f, 0.04f, 0.03f, 0.02f, 0.01f};
  EXPECT_THAT(allocate(row, threshold({0.5, 0.5, 0.5, 1.0}, 0.06), official_rounding(32)),
              ElementsAre(1, 0, 0, 0, 0));
}

TEST(LevelAllocation, OursKeepsTheBestBlockFullAndDoesNotRound) {
  EXPECT_THAT(allocate(kHandRow, threshold(kHandBounds)), ElementsAre(1, 2, 8, 0, 0));
}

TEST(LevelAllocation, ThresholdTakesTheCrossingBlock) {
  // Cumulative .4, .7, .9, 1: the bound .5 holds one block and the one that crosses it.
  const std::vector<float> row = {0.1f, 0.4f, 0.2f, 0.3f};
  EXPECT_THAT(allocate(row, threshold({0.5, 0.5, 0.5, 0.5})), ElementsAre(0, 1, 0, 1));
  EXPECT_THAT(allocate(row, threshold({0.5, 0.5, 0.75, 1.0})), ElementsAre(8, 1, 4, 1));
}

TEST(LevelAllocation, MinimumShareAtFullResolution) {
  const std::vector<float> row(100, 0.01f);  // all alike: the lower index comes first
  const Levels levels = allocate(row, threshold({0.0, 0.0, 0.0, 0.0}, 0.06));
  for (std::size_t j = 0; j < 100; ++j) EXPECT_EQ(levels[j], j < 7 ? 1 : 0) << j;
}

TEST(LevelAllocation, QuotaOfTheOfficialExample) {
  // Spec psa.md 3.3: 139 blocks, 10/5/0/20 %: 13 full, 7 at 2x, 0, 28 at 8x, 91 skipped.
  const std::vector<float> row = random_row(1, 139);
  const Levels levels = allocate(row, quota({0.10, 0.15, 0.15, 0.35}));
  EXPECT_EQ(std::count(levels.begin(), levels.end(), 1), 13);
  EXPECT_EQ(std::count(levels.begin(), levels.end(), 2), 7);
  EXPECT_EQ(std::count(levels.begin(), levels.end(), 4), 0);
  EXPECT_EQ(std::count(levels.begin(), levels.end(), 8), 28);
  EXPECT_EQ(std::count(levels.begin(), levels.end(), 0), 91);
}

TEST(LevelAllocation, QuotaOfAWholeNumberIsNotLostToRounding) {
  // 0.29 * 100 is a little below 29 in double.
  EXPECT_THAT(quota_level_ends(100, quota({0.29, 0.29, 0.57, 0.58})), ElementsAre(29, 29, 57, 58));
}

TEST(LevelAllocation, ShortRowsKeepTheBestBlockFull) {
  EXPECT_THAT(allocate({0.3f}, quota({0.1, 0.15, 0.15, 0.35})), ElementsAre(1));
  EXPECT_THAT(allocate({0.3f}, threshold({0.0, 0.0, 0.0, 0.5})), ElementsAre(1));
  EXPECT_THAT(allocate({0.3f, 0.7f}, quota({0.0, 0.0, 0.0, 0.1})), ElementsAre(0, 1));
  EXPECT_THAT(allocate({0.3f, 0.7f}, quota({0.0, 0.0, 0.0, 1.0})), ElementsAre(8, 1));
}

TEST(LevelAllocation, TiesGoToTheLowerIndex) {
  EXPECT_THAT(allocate(std::vector<float>(5, 0.2f), quota({0.2, 0.4, 0.6, 0.8})),
              ElementsAre(1, 2, 4, 8, 0));
  EXPECT_THAT(allocate({0.1f, 0.3f, 0.3f, 0.3f}, quota({0.25, 0.5, 0.5, 0.75})),
              ElementsAre(0, 1, 2, 8));
}

TEST(LevelAllocation, NanAndNegativeScoresComeLast) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const PsaParams& params : {quota({0.25, 0.25, 0.25, 0.5}), threshold({0.5, 0.5, 0.5, 0.6})})
    EXPECT_THAT(allocate({nan, 0.3f, -1.0f, 0.2f}, params), ElementsAre(0, 1, 0, 8))
        << static_cast<int>(params.selection);
}

TEST(LevelAllocation, InfiniteScoresTakeEverything) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_THAT(allocate({5.0f, infinity, 7.0f, infinity}, threshold({0.5, 0.5, 0.5, 0.5})),
              ElementsAre(0, 1, 0, 1));
}

TEST(LevelAllocation, RowsWithoutAnyWeightAreSpreadEvenly) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(allocate({0.0f, 0.0f, 0.0f, 0.0f}, threshold({0.4, 0.4, 0.4, 0.6})),
              ElementsAre(1, 1, 8, 0));
  EXPECT_THAT(allocate({nan, nan, nan, nan}, quota({0.25, 0.5, 0.5, 0.75})),
              ElementsAre(1, 2, 8, 0));
}

TEST(LevelAllocation, BoundsOfOneKeepEverything) {
  for (const LevelSelection selection : {LevelSelection::kThreshold, LevelSelection::kQuota}) {
    PsaParams params = quota({1.0, 1.0, 1.0, 1.0});
    params.selection = selection;
    EXPECT_THAT(allocate(random_row(3, 37), params), Each(1));
    params.level_bounds = {0.0, 0.0, 0.0, 1.0};
    const Levels levels = allocate(random_row(4, 37), params);
    EXPECT_EQ(std::count(levels.begin(), levels.end(), 0), 0);
  }
}

TEST(LevelAllocation, CapRefinesAndNeverKeepsASkippedBlock) {
  const std::vector<float> row = {0.4f, 0.3f, 0.2f, 0.1f};
  const PsaParams params = quota({0.25, 0.25, 0.5, 0.75});  // 1, 4, 8, skip
  EXPECT_THAT(allocate(row, params, {}, {8, 8, 8, 8}), ElementsAre(1, 4, 8, 0));
  EXPECT_THAT(allocate(row, params, {}, {1, 2, 4, 1}), ElementsAre(1, 2, 4, 0));
  EXPECT_THAT(allocate(row, params, {}, {1, 1, 1, 1}), ElementsAre(1, 1, 1, 0));
}

TEST(LevelAllocation, LevelsDoNotRefineAlongFallingImportance) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(seed);
    const std::vector<float> row = random_row(seed, 1 + seed % 97);
    const double a = static_cast<double>(seed % 7) / 20, b = static_cast<double>(seed % 11) / 30;
    PsaParams params = quota({a, a + b / 2, a + b, std::min(1.0, a + 2 * b)});
    if (seed % 2 == 0) params.selection = LevelSelection::kThreshold;
    const Levels levels = allocate(row, params);
    EXPECT_GE(std::count(levels.begin(), levels.end(), 1), 1);
    for (std::size_t i = 0; i < row.size(); ++i)
      for (std::size_t j = 0; j < row.size(); ++j)
        if (row[i] > row[j]) {
          ASSERT_LE(coarseness(levels[i]), coarseness(levels[j])) << i << " " << j;
        }
  }
}

TEST(LevelAllocation, RaisingABoundNeverCoarsensABlock) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(seed);
    const std::vector<float> row = random_row(seed, 2 + seed % 150);
    PsaParams params = threshold({0.3, 0.5, 0.6, 0.8}, seed % 3 == 0 ? 0.06 : 0.0);
    if (seed % 2 == 0) params.selection = LevelSelection::kQuota;
    const Levels before = allocate(row, params);
    const std::size_t raised = seed % 4;
    for (std::size_t i = raised; i < 4; ++i)
      params.level_bounds[i] = std::max(params.level_bounds[i], params.level_bounds[raised] + 0.1);
    const Levels after = allocate(row, params);
    for (std::size_t j = 0; j < row.size(); ++j)
      ASSERT_LE(coarseness(after[j]), coarseness(before[j])) << j;
  }
}

TEST(LevelAllocation, LongRowsReachTheirThresholds) {
  // 16-bit sums would stall here; double sums give the share that was asked for.
  const std::vector<float> row(4000, 1.0f / 4000);
  const Levels levels = allocate(row, threshold({0.25, 0.5, 0.5, 0.75}));
  EXPECT_NEAR(static_cast<double>(std::count(levels.begin(), levels.end(), 1)), 1001, 4);
  EXPECT_NEAR(static_cast<double>(std::count(levels.begin(), levels.end(), 0)), 999, 4);
}

}  // namespace
}  // namespace psagen::kernels
