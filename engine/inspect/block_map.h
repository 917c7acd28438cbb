// What sparse attention chose for one head, and where that head's attention really lies: two
// numbers for each pair of a query block and a key block.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace psagen::engine {

struct BlockMap {
  int query_block = 0;  // tokens of a block; the last one may have fewer
  int key_block = 0;
  std::int64_t query_blocks = 0;
  std::int64_t key_blocks = 0;
  std::vector<std::uint8_t> levels;  // [query_blocks, key_blocks] in {0, 1, 2, 4, 8}; 0 is skipped
  std::vector<double> mass;          // likewise: share of the head's attention; sums to 1
};

// What share of the block pairs a level has, and of the attention mass they hold.
struct LevelShare {
  int level = 0;
  double blocks = 0.0;
  double mass = 0.0;
};

// Of levels 1, 2, 4, 8 and, last, 0.
std::array<LevelShare, 5> level_shares(const BlockMap& map);

}  // namespace psagen::engine
