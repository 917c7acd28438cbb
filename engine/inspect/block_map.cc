#include "engine/inspect/block_map.h"

#include <algorithm>

namespace psagen::engine {

std::array<LevelShare, 5> level_shares(const BlockMap& map) {
  std::array<LevelShare, 5> shares = {{{.level = 1}, {.level = 2}, {.level = 4}, {.level = 8}, {}}};
  for (std::size_t i = 0; i < map.levels.size(); ++i) {
    LevelShare& share = *std::find_if(shares.begin(), shares.end() - 1,
                                      [&](LevelShare s) { return s.level == map.levels[i]; });
    share.blocks += 1.0;
    share.mass += map.mass[i];
  }
  for (LevelShare& share : shares) share.blocks /= static_cast<double>(map.levels.size());
  return shares;
}

}  // namespace psagen::engine
