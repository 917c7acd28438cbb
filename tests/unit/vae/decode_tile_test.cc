#include "engine/vae/decode_tile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace psagen::engine {
namespace {

using ::testing::ElementsAre;

// Wan 2.1's: three residual blocks a stage, all stages but the last double the frame.
std::vector<UpBlockShape> wan_stages() {
  std::vector<UpBlockShape> stages(4);
  for (std::size_t i = 0; i < 4; ++i) {
    stages[i].num_resnets = 3;
    stages[i].doubles_space = i < 3;
  }
  return stages;
}

// Six convolutions at each size, one behind each doubling, one at the end: 7 pixels of the frame
// are what the last stage needs, (7 + 1) / 2 + 6 = 10 what the one before it needs, then 12,
// then 13.
TEST(DecodeTile, SeesAsFarAsTheConvolutions) {
  const TileAxis axis = tile_axis(wan_stages(), 1000, {100, 110});
  EXPECT_EQ(axis.output, (PixelSpan{800, 880}));
  EXPECT_THAT(axis.inputs, ElementsAre(PixelSpan{100 - 13, 110 + 13}, PixelSpan{200 - 12, 220 + 12},
                                       PixelSpan{400 - 10, 440 + 10}, PixelSpan{800 - 7, 880 + 7}));
}

TEST(DecodeTile, EndsWhereTheFrameEnds) {
  const TileAxis whole = tile_axis(wan_stages(), 10, {0, 10});
  EXPECT_THAT(whole.inputs,
              ElementsAre(PixelSpan{0, 10}, PixelSpan{0, 20}, PixelSpan{0, 40}, PixelSpan{0, 80}));
  EXPECT_EQ(whole.output, (PixelSpan{0, 80}));
  const TileAxis first = tile_axis(wan_stages(), 20, {0, 5});
  EXPECT_THAT(first.inputs,
              ElementsAre(PixelSpan{0, 18}, PixelSpan{0, 22}, PixelSpan{0, 30}, PixelSpan{0, 47}));
  const TileAxis last = tile_axis(wan_stages(), 20, {15, 20});
  EXPECT_THAT(last.inputs, ElementsAre(PixelSpan{2, 20}, PixelSpan{18, 40}, PixelSpan{50, 80},
                                       PixelSpan{113, 160}));
}

TEST(DecodeTile, TilesCoverTheFrameOnceInRowsOfTiles) {
  for (const auto& [rows, columns] : {std::pair{1, 1}, {2, 3}, {3, 2}, {7, 11}, {20, 20}}) {
    const std::vector<DecodeTile> tiles =
        decode_tiles(wan_stages(), {.rows = rows, .columns = columns}, 7, 11);
    ASSERT_EQ(tiles.size(), static_cast<std::size_t>(std::min(rows, 7) * std::min(columns, 11)));
    std::vector<int> covered(56 * 88);
    for (const DecodeTile& tile : tiles)
      for (std::int64_t y = tile.rows.output.begin; y < tile.rows.output.end; ++y)
        for (std::int64_t x = tile.columns.output.begin; x < tile.columns.output.end; ++x)
          ++covered[static_cast<std::size_t>(y * 88 + x)];
    EXPECT_THAT(covered, ::testing::Each(1)) << rows << " x " << columns;
    const std::size_t last_of_row = static_cast<std::size_t>(std::min(columns, 11)) - 1;
    EXPECT_EQ(tiles[last_of_row].rows.output, tiles[0].rows.output);
    EXPECT_EQ(tiles[last_of_row].columns.output.end, 88);
  }
}

TEST(DecodeSplits, TilesAreTriedOnlyWhereTheyMayBe) {
  const std::vector<DecodeSplit> off = decode_splits(VaeTiling::kOff, 60, 104);
  EXPECT_THAT(off, ElementsAre(DecodeSplit{}, DecodeSplit{.latent_frames_per_chunk = 1}));
  const std::vector<DecodeSplit> on = decode_splits(VaeTiling::kOn, 60, 104);
  EXPECT_EQ(on.front(), (DecodeSplit{.rows = 2, .columns = 4}));
  EXPECT_TRUE(decode_splits(VaeTiling::kOn, 6, 4).front().is_tiled()) << "small, but asked for";
  EXPECT_FALSE(decode_splits(VaeTiling::kOn, 1, 1).front().is_tiled()) << "one pixel of a latent";
  const std::vector<DecodeSplit> automatic = decode_splits(VaeTiling::kAuto, 60, 104);
  EXPECT_THAT(std::vector(automatic.begin(), automatic.begin() + 4),
              ElementsAre(DecodeSplit{}, DecodeSplit{.latent_frames_per_chunk = 1},
                          DecodeSplit{.columns = 2, .latent_frames_per_chunk = 1},
                          DecodeSplit{.rows = 2, .columns = 2, .latent_frames_per_chunk = 1}));
}

TEST(DecodeSplits, BecomeFinerAndEnd) {
  for (const auto& [height, width] : {std::pair{60, 104}, {90, 160}, {3, 200}, {1, 1}, {32, 32}}) {
    const std::vector<DecodeSplit> splits = decode_splits(VaeTiling::kAuto, height, width);
    EXPECT_LE(splits.size(), 20u);
    for (std::size_t i = 2; i < splits.size(); ++i) {
      EXPECT_GE(splits[i].rows, splits[i - 1].rows);
      EXPECT_GE(splits[i].columns, splits[i - 1].columns);
      EXPECT_GT(splits[i].rows * splits[i].columns, splits[i - 1].rows * splits[i - 1].columns);
    }
    EXPECT_LE(height, 12 * splits.back().rows);
    EXPECT_LE(width, 12 * splits.back().columns);
  }
}

TEST(VaeTilingName, IsOneOfThree) {
  EXPECT_EQ(parse_vae_tiling("auto"), VaeTiling::kAuto);
  EXPECT_EQ(parse_vae_tiling("on"), VaeTiling::kOn);
  EXPECT_EQ(parse_vae_tiling("off"), VaeTiling::kOff);
}

}  // namespace
}  // namespace psagen::engine
