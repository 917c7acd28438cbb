#include "engine/media/ycbcr.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace psagen::engine {
namespace {

TEST(Ycbcr, AnchorsOfBt709) {
  EXPECT_EQ(ycbcr_from_rgb({0, 0, 0}), (Ycbcr10{64, 512, 512}));
  EXPECT_EQ(ycbcr_from_rgb({255, 255, 255}), (Ycbcr10{940, 512, 512}));
  // Pure primaries reach the ends of the difference signals: E'Cb = 0.5 for blue, E'Cr for red.
  EXPECT_EQ(ycbcr_from_rgb({0, 0, 255}).cb, 960);
  EXPECT_EQ(ycbcr_from_rgb({255, 0, 0}).cr, 960);
  EXPECT_EQ(ycbcr_from_rgb({255, 255, 0}).cb, 64);
  EXPECT_EQ(ycbcr_from_rgb({0, 255, 255}).cr, 64);
  EXPECT_EQ(ycbcr_from_rgb({0, 255, 0}).y, 691);  // 64 + 876 * 0.7152 = 690.5, ties upwards
}

TEST(Ycbcr, EveryColourComesBackExactly) {
  std::int64_t wrong = 0;
  for (int r = 0; r < 256; ++r) {
    for (int g = 0; g < 256; ++g) {
      for (int b = 0; b < 256; ++b) {
        const Rgb8 colour{static_cast<std::uint8_t>(r), static_cast<std::uint8_t>(g),
                          static_cast<std::uint8_t>(b)};
        wrong += rgb_from_ycbcr(ycbcr_from_rgb(colour)) == colour ? 0 : 1;
      }
    }
  }
  EXPECT_EQ(wrong, 0);
}

TEST(Ycbcr, OutOfRangeValuesAreClamped) {
  EXPECT_EQ(rgb_from_ycbcr({1023, 512, 512}), (Rgb8{255, 255, 255}));
  EXPECT_EQ(rgb_from_ycbcr({0, 512, 512}), (Rgb8{0, 0, 0}));
}

}  // namespace
}  // namespace psagen::engine
