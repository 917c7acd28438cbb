// How the CPU keeps the rows of one key block at one level: the layouts of
// kernels/cpu/attention_layout.h, so that a block is a tile of attention where it lies.
//   keys    [rows / 8][depth][8], or [depth][4] where the block has only four rows
//   values  [depth / 8][rows][8]
// Four-row blocks (32 tokens at level 8) are joined in pairs when they are used.
#pragma once

#include <cstdint>

#include "kernels/cpu/attention_layout.h"
#include "kernels/psa/psa_args.h"

namespace psagen::kernels::cpu {

inline constexpr std::int64_t kHalfGroup = kTileGroup / 2;

constexpr std::int64_t key_group_width(std::int64_t rows) {
  return rows < kTileGroup ? kHalfGroup : kTileGroup;
}

// Offset of number `column` of key row `row` inside a block of `rows` rows.
constexpr std::int64_t key_offset(std::int64_t rows, std::int64_t depth, std::int64_t row,
                                  std::int64_t column) {
  const std::int64_t width = key_group_width(rows);
  return (row / width * depth + column) * width + row % width;
}

constexpr std::int64_t value_offset(std::int64_t rows, std::int64_t row, std::int64_t column) {
  return (column / kTileGroup * rows + row) * kTileGroup + column % kTileGroup;
}

// The pyramid of one (batch, head).
struct HeadPyramid {
  HeadPyramid(const Pyramid& pyramid, std::int64_t batch, std::int64_t head)
      : shape(pyramid.shape),
        depth(pyramid.keys.shape()[3]),
        keys(pyramid.keys.data<float>() + batch * pyramid.keys.stride(0) +
             head * pyramid.keys.stride(1)),
        values(pyramid.values.data<float>() + batch * pyramid.values.stride(0) +
               head * pyramid.values.stride(1)),
        log2_weight(pyramid.log2_weight.data<float>()) {}

  std::int64_t rows(int level_index) const {
    return shape.key_block / kPsaLevels[static_cast<std::size_t>(level_index)];
  }
  float* block_keys(int level_index, std::int64_t block) const {
    return keys + shape.row_begin(level_index, block) * depth;
  }
  float* block_values(int level_index, std::int64_t block) const {
    return values + shape.row_begin(level_index, block) * depth;
  }
  float* block_log2_weight(int level_index, std::int64_t block) const {
    return log2_weight + shape.row_begin(level_index, block);
  }

  PyramidShape shape;
  std::int64_t depth;
  float* keys;
  float* values;
  float* log2_weight;
};

}  // namespace psagen::kernels::cpu
