#include "kernels/psa/block_levels.h"

#include <algorithm>
#include <numeric>

namespace psagen::kernels {

LevelLists sort_by_level(std::span<const std::uint8_t> levels, std::span<std::uint16_t> blocks) {
  LevelLists lists;
  std::size_t begin = 0, end = 0;
  for (std::size_t i = 0; i < kPsaLevels.size(); ++i, begin = end) {
    for (std::size_t j = 0; j < levels.size(); ++j)
      if (levels[j] == kPsaLevels[i]) blocks[end++] = static_cast<std::uint16_t>(j);
    lists.blocks[i] = blocks.subspan(begin, end - begin);
  }
  return lists;
}

std::int64_t score_columns(std::span<const std::uint8_t> levels, const PyramidShape& shape) {
  std::int64_t columns = 0;
  for (std::size_t j = 0; j < levels.size(); ++j)
    if (levels[j] != 0) columns += shape.block_rows(static_cast<std::int64_t>(j), levels[j]);
  return columns;
}

void longest_first(std::span<const std::uint8_t> levels, const PyramidShape& shape,
                   std::int64_t query_blocks, std::span<std::int64_t> columns,
                   std::span<std::int32_t> order) {
  const std::size_t key_blocks = static_cast<std::size_t>(shape.key_blocks());
  for (std::size_t row = 0; row < order.size(); ++row)
    columns[row] = score_columns(levels.subspan(row * key_blocks, key_blocks), shape);
  std::iota(order.begin(), order.end(), 0);
  for (auto head = order.begin(); head != order.end(); head += query_blocks)
    std::sort(head, head + query_blocks, [&](std::int32_t a, std::int32_t b) {
      const std::int64_t left = columns[static_cast<std::size_t>(a)];
      const std::int64_t right = columns[static_cast<std::size_t>(b)];
      return left != right ? left > right : a < b;
    });
}

double nominal_density(std::span<const std::uint8_t> levels) {
  std::int64_t eighths = 0;  // a block at level l is 8 / l eighths
  for (const std::uint8_t level : levels)
    if (level != 0) eighths += 8 / level;
  return levels.empty() ? 0.0
                        : static_cast<double>(eighths) / (8.0 * static_cast<double>(levels.size()));
}

}  // namespace psagen::kernels
