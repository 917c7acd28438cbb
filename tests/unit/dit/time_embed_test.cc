#include "engine/dit/time_embed.h"

#include <gtest/gtest.h>

#include <cmath>

namespace psagen::engine {
namespace {

TEST(TimeSinusoidTest, HasTheCosinesFirst) {
  std::vector<float> values(256);
  fill_time_sinusoid(0.0, values);
  for (std::size_t j = 0; j < 128; ++j) {
    EXPECT_EQ(values[j], 1.0f);
    EXPECT_EQ(values[128 + j], 0.0f);
  }
}

TEST(TimeSinusoidTest, KeepsItsDigitsAtLargeTimesteps) {
  std::vector<float> values(256);
  fill_time_sinusoid(999.0, values);
  for (const std::size_t j : {0, 1, 64, 127}) {
    const long double angle = 999.0L * powl(10000.0L, -static_cast<long double>(j) / 128.0L);
    EXPECT_NEAR(values[j], static_cast<double>(cosl(angle)), 1e-7) << j;
    EXPECT_NEAR(values[128 + j], static_cast<double>(sinl(angle)), 1e-7) << j;
  }
}

}  // namespace
}  // namespace psagen::engine
