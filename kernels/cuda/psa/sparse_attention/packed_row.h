// How the rows of keys that a query block attends to are laid end to end: level after level, key
// blocks ascending, a block of n tokens at level l as n / l columns. A block's columns begin at a
// multiple of their number, so tiles of at least n columns never part them, and only a row's last
// tile has columns to spare. Plain numbers, the same on host and device.
#pragma once

#include <cstdint>

namespace psagen::kernels::cuda {

// Levels by index: 1, 2, 4, 8 tokens a row.
inline constexpr int kLevels = 4;

// A call's block levels, and where a block's rows lie: at level 1 in k and v themselves, above in
// the pyramid.
struct BlockLevels {
  const std::uint8_t* levels = nullptr;  // [rows][key_blocks], 0 or the level
  const int* order = nullptr;            // optional: which row is worked on when
  int key_blocks = 0;
  int log2_key_block = 7;
  int tail_tokens = 128;        // of the last key block
  int row_begin[kLevels] = {};  // of each level
  int absent_row = 0;           // past the end of keys, values and pyramid

  constexpr int log2_rows(int level_index) const { return log2_key_block - level_index; }
  constexpr int first_row(int level_index, int block) const {
    return row_begin[level_index] + (block << log2_rows(level_index));
  }
  constexpr bool is_whole(int block) const {
    return block + 1 < key_blocks || tail_tokens == 1 << log2_key_block;
  }
  constexpr int block_tokens(int block) const {
    return block + 1 < key_blocks ? 1 << log2_key_block : tail_tokens;
  }
};

// Tokens that row `row` of a block of `tokens` tokens stands for; 0 where there is no such row.
constexpr int row_tokens(int tokens, int level_index, int row) {
  const int left = tokens - (row << level_index), all = 1 << level_index;
  return left < 0 ? 0 : left < all ? left : all;
}

// Where a column comes from: row `row` of number `entry` of the blocks of a level.
struct ColumnSource {
  int level_index, entry, row;
};

// `ends`: columns up to the end of each level. Past the last of them the level index is kLevels.
constexpr ColumnSource locate_column(const BlockLevels& blocks, const int (&ends)[kLevels],
                                     int column) {
  ColumnSource source{0, 0, column};
  for (int i = 0; i < kLevels; ++i) {
    if (column < ends[i]) break;
    source = {i + 1, 0, column - ends[i]};
  }
  if (source.level_index == kLevels) return source;
  const int log2_rows = blocks.log2_rows(source.level_index);
  source.entry = source.row >> log2_rows;
  source.row &= (1 << log2_rows) - 1;
  return source;
}

}  // namespace psagen::kernels::cuda
