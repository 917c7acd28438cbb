// One warp going over a row of block levels. Nothing is kept but the place: a row's bytes stay in
// L1 from one level to the next, and rows may be of any length.
#pragma once

#include <cstdint>

#include "kernels/cuda/psa/sparse_attention/packed_row.h"

namespace psagen::kernels::cuda {

inline constexpr std::uint32_t kAllLanes = 0xffffffffu;

// Columns of a row, by the whole warp.
__device__ inline int count_columns(const BlockLevels& blocks, int row, int lane) {
  const std::uint8_t* const levels =
      blocks.levels + static_cast<std::int64_t>(row) * blocks.key_blocks;
  int columns = 0;
#pragma unroll 4
  for (int block = lane; block < blocks.key_blocks; block += 32) {
    const int level = __ldg(levels + block);
    if (level != 0) columns += 1 << blocks.log2_rows(__ffs(level) - 1);
  }
  return __reduce_add_sync(kAllLanes, columns);
}

// The blocks of a row, level after level and ascending, up to 32 at a time.
struct LevelWalk {
  const std::uint8_t* levels;
  int key_blocks;
  int lane;
  int level_index = 0;
  int block = -32;            // the first of 32
  std::uint32_t pending = 0;  // those of the 32 that are of this level and not taken yet
  std::uint32_t bytes = 0;    // this lane's levels of four times 32 blocks

  __device__ LevelWalk(const BlockLevels& blocks, int row, int lane)
      : levels(blocks.levels + static_cast<std::int64_t>(row) * blocks.key_blocks),
        key_blocks(blocks.key_blocks),
        lane(lane) {}

  // Goes on until there are blocks pending; false at the end of the row.
  __device__ bool find() {
    while (pending == 0) {
      block += 32;
      if (block >= key_blocks) {
        if (level_index + 1 == kLevels) return false;
        ++level_index;
        block = 0;
      }
      if (block % 128 == 0) load();
      const std::uint32_t level = bytes >> (block / 32 % 4 * 8) & 0xff;
      pending = __ballot_sync(kAllLanes, level == 1u << level_index);
    }
    return true;
  }

  __device__ void load() {
    bytes = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int at = block + 32 * i + lane;
      if (at < key_blocks) bytes |= static_cast<std::uint32_t>(__ldg(levels + at)) << (8 * i);
    }
  }
};

}  // namespace psagen::kernels::cuda
