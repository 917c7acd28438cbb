#include "engine/inspect/block_map_image.h"

#include <gtest/gtest.h>

namespace psagen::engine {
namespace {

BlockMap small_map() {
  return {.query_block = 128,
          .key_block = 64,
          .query_blocks = 2,
          .key_blocks = 5,
          .levels = {1, 2, 4, 8, 0, 0, 8, 4, 2, 1},
          .mass = {0.5, 0.0, 0.0, 0.0, 0.0, 0.1, 0.1, 0.1, 0.1, 0.1}};
}

TEST(BlockMapImage, EachCellHasTheColoursOfItsPair) {
  const BlockMap map = small_map();
  const BlockMapLayout layout(map);
  EXPECT_EQ(layout.cell_width, 24);
  EXPECT_EQ(layout.cell_height, 48);  // a query block has twice the tokens of a key block
  const Image image = draw_block_map(map);
  ASSERT_EQ(image.width, layout.width);
  ASSERT_EQ(image.height, layout.height);
  for (std::int64_t i = 0; i < 2; ++i) {
    for (std::int64_t j = 0; j < 5; ++j) {
      const std::size_t pair = static_cast<std::size_t>(5 * i + j);
      // The first and the last pixel of a cell.
      for (const bool last : {false, true}) {
        const std::int64_t x = j * 24 + (last ? 23 : 0), y = layout.top + i * 48 + (last ? 47 : 0);
        EXPECT_EQ(image.at(layout.levels_left + x, y), level_colour(map.levels[pair]))
            << i << ' ' << j;
        EXPECT_EQ(image.at(layout.mass_left + x, y), mass_colour(2.0 * map.mass[pair]))
            << i << ' ' << j;
      }
    }
  }
  EXPECT_EQ(image.at(0, 0), (Rgb{255, 255, 255}));
  EXPECT_EQ(image.at(layout.levels_left, layout.legend_top), level_colour(1));
}

TEST(BlockMapImage, MassIsALogarithmicGrey) {
  EXPECT_EQ(mass_colour(1.0), (Rgb{255, 255, 255}));
  EXPECT_EQ(mass_colour(0.01), (Rgb{128, 128, 128}));
  EXPECT_EQ(mass_colour(1e-4), (Rgb{0, 0, 0}));
  EXPECT_EQ(mass_colour(0.0), (Rgb{0, 0, 0}));
}

TEST(BlockMapImage, CellsShrinkWithTheNumberOfBlocks) {
  const auto cell = [](std::int64_t blocks) {
    BlockMap map = small_map();
    map.query_block = map.key_block;
    map.query_blocks = map.key_blocks = blocks;
    const BlockMapLayout layout(map);
    EXPECT_EQ(layout.cell_width, layout.cell_height);
    return layout.cell_width;
  };
  EXPECT_EQ(cell(1), 24);
  EXPECT_EQ(cell(128), 6);
  EXPECT_EQ(cell(512), 3);
  EXPECT_EQ(cell(1024), 1);
}

}  // namespace
}  // namespace psagen::engine
