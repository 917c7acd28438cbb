// Rows of block levels: a byte in {0, 1, 2, 4, 8} for each key block says whether a query block
// attends to it, and how finely. What the rows mean as lists and as work is decided here, for both
// back ends.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "kernels/psa/psa_args.h"

namespace psagen::kernels {

inline constexpr std::int64_t kMaxKeyBlocks = 65535;  // indices in lists are 16 bits wide

// The key blocks of a row by level, ascending inside a level: softmax does not care about the
// order, and neighbouring blocks can then be read as one run.
struct LevelLists {
  std::array<std::span<const std::uint16_t>, 4> blocks;  // of level kPsaLevels[i]
};

// `blocks` is memory for as many indices as there are key blocks.
LevelLists sort_by_level(std::span<const std::uint8_t> levels, std::span<std::uint16_t> blocks);

// Rows of keys that a query attends to: score columns without any padding.
std::int64_t score_columns(std::span<const std::uint8_t> levels, const PyramidShape& shape);

// The rows of `levels` [heads][query blocks][key blocks], head after head, inside a head the one
// with the most score columns first, equal ones by index. `columns` is scratch, as long as `order`.
void longest_first(std::span<const std::uint8_t> levels, const PyramidShape& shape,
                   std::int64_t query_blocks, std::span<std::int64_t> columns,
                   std::span<std::int32_t> order);

// Mean over rows of (n1 + n2/2 + n4/4 + n8/8) / key blocks; exact but for one rounding.
double nominal_density(std::span<const std::uint8_t> levels);

}  // namespace psagen::kernels
