#include "engine/media/frame_rate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <utility>

#include "tests/support/expect_error.h"
#include "tests/unit/media/video_clips.h"

namespace psagen::engine {
namespace {

using psagen::testing::expect_error;

TEST(FrameRate, NearestFraction) {
  const auto parts = [](double fps) {
    const FrameRate rate = frame_rate(fps);
    return std::pair(rate.numerator, rate.denominator);
  };
  EXPECT_EQ(parts(16.0), std::pair(16, 1));
  EXPECT_EQ(parts(12.5), std::pair(25, 2));
  EXPECT_EQ(parts(24000.0 / 1001.0), std::pair(24000, 1001));
  EXPECT_EQ(parts(23.976), std::pair(2997, 125));
  EXPECT_EQ(parts(0.1), std::pair(1, 10));
  for (const double fps : {16.000001, 3.14159265358979, 999.9999}) {
    const FrameRate rate = frame_rate(fps);
    EXPECT_LE(rate.numerator, 65535);
    EXPECT_LE(rate.denominator, 65535);
    EXPECT_NEAR(rate.value(), fps, 1e-6 * fps);
  }
  for (const double fps : {0.0, -1.0, 1001.0, std::nan("")}) {
    expect_error(ErrorCode::kInvalidArgument, {"fps"}, [&] { frame_rate(fps); });
  }
}

}  // namespace
}  // namespace psagen::engine
