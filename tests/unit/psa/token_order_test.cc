#include "kernels/psa/token_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <numeric>

#include "kernels/core/error.h"

namespace psagen::kernels {
namespace {

std::array<int, 3> coordinates(const TokenGrid& grid, std::int32_t raster) {
  return {static_cast<int>(raster % grid.cols), static_cast<int>(raster / grid.cols % grid.rows),
          static_cast<int>(raster / grid.cols / grid.rows)};
}

struct Boxes {
  std::array<double, 3> mean_side{};  // columns, rows, frames
  double mean_volume = 0.0;           // over the run's length
  double max_volume = 0.0;
};

// Bounding boxes of the runs [0, run), [run, 2 run), ...
Boxes bounding_boxes(const TokenGrid& grid, std::size_t run) {
  const std::vector<std::int32_t> order = pyramid_token_order(grid);
  Boxes boxes;
  int runs = 0;
  for (std::size_t begin = 0; begin < order.size(); begin += run, ++runs) {
    const std::size_t end = std::min(begin + run, order.size());
    std::array<int, 3> low = coordinates(grid, order[begin]);
    std::array<int, 3> high = low;
    for (std::size_t l = begin; l < end; ++l) {
      const std::array<int, 3> at = coordinates(grid, order[l]);
      for (std::size_t axis = 0; axis < 3; ++axis) {
        low[axis] = std::min(low[axis], at[axis]);
        high[axis] = std::max(high[axis], at[axis]);
      }
    }
    double volume = 1.0;
    for (std::size_t axis = 0; axis < 3; ++axis) {
      boxes.mean_side[axis] += high[axis] - low[axis] + 1;
      volume *= high[axis] - low[axis] + 1;
    }
    volume /= static_cast<double>(end - begin);
    boxes.mean_volume += volume;
    boxes.max_volume = std::max(boxes.max_volume, volume);
  }
  for (double& side : boxes.mean_side) side /= runs;
  boxes.mean_volume /= runs;
  return boxes;
}

bool is_permutation_of_range(std::vector<std::int32_t> order) {
  std::sort(order.begin(), order.end());
  std::vector<std::int32_t> range(order.size());
  std::iota(range.begin(), range.end(), 0);
  return order == range;
}

TEST(TokenOrder, IsAPermutationOfEveryGrid) {
  for (std::int64_t frames = 1; frames <= 9; ++frames)
    for (std::int64_t rows = 1; rows <= 11; ++rows)
      for (std::int64_t cols = 1; cols <= 18; ++cols) {
        const TokenGrid grid = {frames, rows, cols};
        const std::vector<std::int32_t> order = pyramid_token_order(grid);
        ASSERT_EQ(static_cast<std::int64_t>(order.size()), grid.num_tokens());
        ASSERT_TRUE(is_permutation_of_range(order)) << frames << " " << rows << " " << cols;
      }
  for (const TokenGrid& grid : {TokenGrid{31, 22, 40}, TokenGrid{1, 1, 5000}, TokenGrid{997, 1, 1}})
    EXPECT_TRUE(is_permutation_of_range(pyramid_token_order(grid)));
}

TEST(TokenOrder, InverseUndoesTheOrder) {
  const std::vector<std::int32_t> order = pyramid_token_order({5, 7, 13});
  const std::vector<std::int32_t> inverse = inverse_order(order);
  for (std::size_t l = 0; l < order.size(); ++l)
    ASSERT_EQ(inverse[static_cast<std::size_t>(order[l])], static_cast<std::int32_t>(l));
}

TEST(TokenOrder, RefusesAnEmptyGrid) { EXPECT_THROW(pyramid_token_order({4, 0, 4}), Error); }

TEST(TokenOrder, RunsAreBoxesWhereBoxesFit) {
  const TokenGrid grid = {8, 16, 32};
  for (const std::size_t run : {2u, 4u, 8u, 16u, 32u, 64u, 128u})
    EXPECT_EQ(bounding_boxes(grid, run).max_volume, 1.0) << run;
  const Boxes cubes = bounding_boxes(grid, 8);
  EXPECT_EQ(cubes.mean_side, (std::array<double, 3>{2, 2, 2}));
  const Boxes boxes = bounding_boxes(grid, 128);
  EXPECT_EQ(boxes.mean_side, (std::array<double, 3>{8, 4, 4}));
}

TEST(TokenOrder, NeighbouringBoxesTouch) {
  const TokenGrid grid = {8, 16, 32};
  const std::vector<std::int32_t> order = pyramid_token_order(grid);
  for (std::size_t box = 1; box < order.size() / 128; ++box) {
    const std::array<int, 3> before = coordinates(grid, order[(box - 1) * 128]);
    const std::array<int, 3> here = coordinates(grid, order[box * 128]);
    int steps = 0;
    for (std::size_t axis = 0; axis < 3; ++axis)
      steps += std::abs(here[axis] - before[axis]) / (axis == 0 ? 8 : 4);
    EXPECT_EQ(steps, 1) << box;
  }
}

// The figures quoted in token_order.cc.
TEST(TokenOrder, MeanBoundingBoxesOnVideoGrids) {
  struct Row {
    TokenGrid grid;
    std::array<double, 3> side8, side128;
    double volume128, max_volume128;
  };
  const Row rows[] = {
      {{18, 45, 80}, {2.04, 1.98, 2.00}, {8.36, 4.32, 3.85}, 1.00, 1.0},
      {{18, 48, 80}, {2.00, 2.00, 2.00}, {8.00, 4.44, 3.78}, 1.00, 1.0},
      {{31, 22, 40}, {2.06, 2.00, 1.97}, {8.67, 4.16, 4.07}, 1.03, 5.6},
      {{21, 30, 52}, {2.10, 2.00, 1.95}, {8.38, 4.39, 4.14}, 1.06, 11.7},
      {{9, 16, 16}, {2.22, 2.00, 1.89}, {8.89, 4.44, 3.67}, 1.00, 1.0},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.grid.num_tokens());
    const Boxes of8 = bounding_boxes(row.grid, 8);
    const Boxes of128 = bounding_boxes(row.grid, 128);
    for (std::size_t axis = 0; axis < 3; ++axis) {
      EXPECT_NEAR(of8.mean_side[axis], row.side8[axis], 0.006);
      EXPECT_NEAR(of128.mean_side[axis], row.side128[axis], 0.006);
    }
    EXPECT_EQ(of8.max_volume, 1.0);
    EXPECT_NEAR(of128.mean_volume, row.volume128, 0.006);
    EXPECT_NEAR(of128.max_volume, row.max_volume128, 0.06);
  }
}

}  // namespace
}  // namespace psagen::kernels
