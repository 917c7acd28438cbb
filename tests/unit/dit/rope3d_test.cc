#include "engine/dit/rope3d.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "kernels/backend.h"

namespace psagen::engine {
namespace {

class Rope3dTest : public ::testing::Test {
 protected:
  // Angle that entry (token, pair) stands for, in (-pi, pi].
  static double angle(const RopeTables& tables, std::int64_t token, std::int64_t pair) {
    const std::int64_t at = token * tables.cos.shape()[1] + pair;
    return std::atan2(tables.sin.view().data<float>()[at], tables.cos.view().data<float>()[at]);
  }
  static double wrapped(double value) { return std::remainder(value, 2.0 * M_PI); }

  Context context_;
  std::unique_ptr<kernels::Ops> ops_ = kernels::make_ops(context_);
};

// spec/wan 3.4: of 64 pairs, 22 turn with the frame, 21 with the row, 21 with the column.
TEST_F(Rope3dTest, SplitsAHeadOf128OverTheThreeAxes) {
  const kernels::TokenGrid grid = {.frames = 4, .rows = 5, .cols = 6};
  const RopeTables tables = make_rope_tables(*ops_, grid, 128, {});
  ASSERT_EQ(tables.cos.shape(), Shape({120, 64}));
  const std::int64_t token = (3 * 5 + 4) * 6 + 2;  // frame 3, row 4, column 2
  for (std::int64_t i = 0; i < 22; ++i)
    EXPECT_NEAR(angle(tables, token, i), wrapped(3.0 * std::pow(10000.0, -2.0 * i / 44.0)), 1e-6);
  for (std::int64_t i = 0; i < 21; ++i) {
    const double frequency = std::pow(10000.0, -2.0 * i / 42.0);
    EXPECT_NEAR(angle(tables, token, 22 + i), wrapped(4.0 * frequency), 1e-6) << i;
    EXPECT_NEAR(angle(tables, token, 43 + i), wrapped(2.0 * frequency), 1e-6) << i;
  }
}

TEST_F(Rope3dTest, GivesTheFramesWhatSixDoesNotDivide) {
  const RopeTables tables = make_rope_tables(*ops_, {.frames = 2, .rows = 2, .cols = 2}, 64, {});
  const std::int64_t last = 7;  // every coordinate is 1
  EXPECT_NEAR(angle(tables, last, 0), 1.0, 1e-6);
  EXPECT_NEAR(angle(tables, last, 11), std::pow(10000.0, -11.0 / 12.0), 1e-6);
  EXPECT_NEAR(angle(tables, last, 12), 1.0, 1e-6);
  EXPECT_NEAR(angle(tables, last, 22), 1.0, 1e-6);
  EXPECT_NEAR(angle(tables, last, 31), std::pow(10000.0, -9.0 / 10.0), 1e-6);
}

TEST_F(Rope3dTest, FollowsTheTokenOrder) {
  const kernels::TokenGrid grid = {.frames = 3, .rows = 4, .cols = 5};
  const std::vector<std::int32_t> order = kernels::pyramid_token_order(grid);
  std::vector<std::int32_t> raster(60);
  std::iota(raster.begin(), raster.end(), 0);
  ASSERT_NE(order, raster) << "an order that permutes nothing tests nothing";
  const RopeTables plain = make_rope_tables(*ops_, grid, 128, {});
  const RopeTables ordered = make_rope_tables(*ops_, grid, 128, order);
  for (std::int64_t l = 0; l < 60; ++l)
    for (std::int64_t pair = 0; pair < 64; ++pair)
      ASSERT_EQ(angle(ordered, l, pair), angle(plain, order[static_cast<std::size_t>(l)], pair))
          << "token " << l << ", pair " << pair;
}

TEST_F(Rope3dTest, RefusesHeadsItCannotSplit) {
  EXPECT_THROW(make_rope_tables(*ops_, {.frames = 1, .rows = 1, .cols = 1}, 4, {}), Error);
  EXPECT_THROW(make_rope_tables(*ops_, {.frames = 1, .rows = 1, .cols = 1}, 65, {}), Error);
}

}  // namespace
}  // namespace psagen::engine
