#include "kernels/cpu/attention_layout.h"

#include <algorithm>
#include <cstring>

namespace psagen::kernels::cpu {

void pack_keys(const float* rows, std::int64_t stride, std::int64_t count, std::int64_t depth,
               float* packed) {
  for (std::int64_t first = 0; first < count; first += kTileGroup) {
    const std::int64_t used = std::min(kTileGroup, count - first);
    for (std::int64_t r = 0; r < kTileGroup; ++r) {
      const float* row = rows + (first + r) * stride;
      for (std::int64_t d = 0; d < depth; ++d)
        packed[d * kTileGroup + r] = r < used ? row[d] : 0.0f;
    }
    packed += depth * kTileGroup;
  }
}

void pack_values(const float* rows, std::int64_t stride, std::int64_t count, std::int64_t depth,
                 std::int64_t group_stride, float* packed) {
  const std::int64_t padded = round_up_to_group(count);
  for (std::int64_t column = 0; column < depth; column += kTileGroup) {
    const std::int64_t used = std::min(kTileGroup, depth - column);
    float* group = packed + column / kTileGroup * group_stride;
    for (std::int64_t r = 0; r < count; ++r) {
      std::copy_n(rows + r * stride + column, used, group + r * kTileGroup);
      std::fill(group + r * kTileGroup + used, group + (r + 1) * kTileGroup, 0.0f);
    }
    std::fill(group + count * kTileGroup, group + padded * kTileGroup, 0.0f);
  }
}

}  // namespace psagen::kernels::cpu
