// How a query block's columns are laid end to end on the GPU, against writing them all down.
#include "kernels/cuda/psa/sparse_attention/packed_row.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace psagen::kernels::cuda {
namespace {

struct Written {
  int level_index, block, row;
};

TEST(PackedRow, ColumnsAreWhereWritingThemDownPutsThem) {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    BlockLevels blocks;
    blocks.key_blocks = 1 + static_cast<int>(random() % 40);
    blocks.log2_key_block = 5 + static_cast<int>(random() % 3);
    std::vector<int> level_index;
    for (int j = 0; j < blocks.key_blocks; ++j)
      level_index.push_back(static_cast<int>(random() % 5) - 1);
    std::vector<Written> columns;
    std::vector<std::vector<int>> lists(kLevels);
    int ends[kLevels];
    for (int i = 0; i < kLevels; ++i) {
      for (int j = 0; j < blocks.key_blocks; ++j) {
        if (level_index[static_cast<std::size_t>(j)] != i) continue;
        lists[static_cast<std::size_t>(i)].push_back(j);
        // Tiles have 64 or 128 columns: of a larger block they take whole parts.
        const int rows = 1 << blocks.log2_rows(i);
        EXPECT_EQ(static_cast<int>(columns.size()) % rows, 0);
        for (int u = 0; u < rows; ++u) columns.push_back({i, j, u});
      }
      ends[i] = static_cast<int>(columns.size());
    }
    for (std::size_t c = 0; c < columns.size(); ++c) {
      const ColumnSource source = locate_column(blocks, ends, static_cast<int>(c));
      ASSERT_EQ(source.level_index, columns[c].level_index);
      ASSERT_EQ(source.row, columns[c].row);
      ASSERT_EQ(lists[static_cast<std::size_t>(source.level_index)]
                     [static_cast<std::size_t>(source.entry)],
                columns[c].block);
    }
    for (int past : {0, 1, 63})
      EXPECT_EQ(locate_column(blocks, ends, ends[kLevels - 1] + past).level_index, kLevels);
  }
}

TEST(PackedRow, RowsOfABlockStandForItsTokens) {
  for (int tokens = 0; tokens <= 128; ++tokens)
    for (int level_index = 0; level_index < kLevels; ++level_index) {
      int sum = 0;
      for (int row = 0; row < 128 >> level_index; ++row) {
        const int count = row_tokens(tokens, level_index, row);
        EXPECT_GE(count, 0);
        EXPECT_LE(count, 1 << level_index);
        // Absent rows come last.
        EXPECT_EQ(count > 0, row < (tokens + (1 << level_index) - 1) >> level_index);
        sum += count;
      }
      EXPECT_EQ(sum, tokens);
    }
}

TEST(PackedRow, OnlyTheLastBlockMayBePartFilled) {
  BlockLevels blocks;
  blocks.key_blocks = 3;
  blocks.log2_key_block = 6;
  blocks.tail_tokens = 10;
  EXPECT_TRUE(blocks.is_whole(0));
  EXPECT_TRUE(blocks.is_whole(1));
  EXPECT_FALSE(blocks.is_whole(2));
  EXPECT_EQ(blocks.block_tokens(1), 64);
  EXPECT_EQ(blocks.block_tokens(2), 10);
  blocks.tail_tokens = 64;
  EXPECT_TRUE(blocks.is_whole(2));
  blocks.row_begin[2] = 100;
  EXPECT_EQ(blocks.first_row(2, 2), 100 + 2 * 16);
  EXPECT_EQ(blocks.first_row(0, 2), 2 * 64);
}

}  // namespace
}  // namespace psagen::kernels::cuda
