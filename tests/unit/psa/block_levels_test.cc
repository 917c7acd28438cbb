#include "kernels/psa/block_levels.h"

#include <gmock/gmock.h>

#include <vector>

namespace psagen::kernels {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

using Levels = std::vector<std::uint8_t>;

TEST(BlockLevels, ListsBlocksOfEachLevelAscending) {
  const Levels levels = {8, 1, 0, 8, 2, 1};
  std::vector<std::uint16_t> memory(levels.size());
  const LevelLists lists = sort_by_level(levels, memory);
  EXPECT_THAT(lists.blocks[0], ElementsAre(1, 5));
  EXPECT_THAT(lists.blocks[1], ElementsAre(4));
  EXPECT_THAT(lists.blocks[2], IsEmpty());
  EXPECT_THAT(lists.blocks[3], ElementsAre(0, 3));
}

TEST(BlockLevels, ARowWithoutBlocksHasEmptyLists) {
  std::vector<std::uint16_t> memory(3);
  for (const auto& blocks : sort_by_level(Levels{0, 0, 0}, memory).blocks)
    EXPECT_THAT(blocks, IsEmpty());
}

TEST(BlockLevels, TheLastIndexFitsAList) {
  Levels levels(static_cast<std::size_t>(kMaxKeyBlocks), 0);
  levels.back() = 4;
  std::vector<std::uint16_t> memory(levels.size());
  EXPECT_THAT(sort_by_level(levels, memory).blocks[2], ElementsAre(kMaxKeyBlocks - 1));
}

// Blocks of 64, the last of 13 tokens: 13, 7, 4 and 2 rows.
TEST(BlockLevels, ScoreColumnsAreTheHandCount) {
  const PyramidShape shape = {.num_tokens = 3 * 64 + 13, .key_block = 64};
  EXPECT_EQ(score_columns(Levels{1, 2, 4, 8}, shape), 64 + 32 + 16 + 2);
  EXPECT_EQ(score_columns(Levels{0, 0, 8, 1}, shape), 8 + 13);
  EXPECT_EQ(score_columns(Levels{0, 0, 0, 2}, shape), 7);
  EXPECT_EQ(score_columns(Levels{0, 0, 0, 0}, shape), 0);
}

TEST(BlockLevels, LongestRowsFirstInsideEachHead) {
  const PyramidShape shape = {.num_tokens = 2 * 32, .key_block = 32};
  const Levels levels = {8, 0,  // two heads of three rows
                         1, 1,  //
                         8, 0,  //
                         0, 0,  //
                         0, 2,  //
                         1, 0};
  std::vector<std::int64_t> columns(6);
  std::vector<std::int32_t> order(6);
  longest_first(levels, shape, 3, columns, order);
  EXPECT_THAT(order, ElementsAre(1, 0, 2, 5, 4, 3));
}

TEST(BlockLevels, NominalDensityIsTheHandCount) {
  EXPECT_EQ(nominal_density(Levels{1, 2, 4, 8, 0, 0, 0, 0,    // 1 + 1/2 + 1/4 + 1/8
                                   1, 1, 0, 0, 0, 0, 0, 8}),  // 2 + 1/8
            (1.875 + 2.125) / 16.0);
}

// A GPU stores the levels above the keys themselves.
TEST(PyramidShape, RowsOfTheStoredLevelsFollowOneAnother) {
  PyramidShape shape = {.num_tokens = 100, .key_block = 32};  // four blocks
  EXPECT_EQ(shape.row_begin(0, 1), 32);
  EXPECT_EQ(shape.row_begin(1, 0), 128);
  EXPECT_EQ(shape.row_begin(3, 2), 128 + 64 + 32 + 8);
  EXPECT_EQ(shape.total_rows(), 128 + 64 + 32 + 16);
  shape.finest_level = 2;
  EXPECT_EQ(shape.row_begin(1, 0), 0);
  EXPECT_EQ(shape.row_begin(1, 3), 48);
  EXPECT_EQ(shape.row_begin(2, 1), 64 + 8);
  EXPECT_EQ(shape.row_begin(3, 2), 64 + 32 + 8);
  EXPECT_EQ(shape.total_rows(), 64 + 32 + 16);
}

}  // namespace
}  // namespace psagen::kernels
