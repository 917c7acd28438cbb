// Bytes of pooled rows [B, N, R, D].
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "kernels/core/shape.h"
#include "kernels/psa/psa_args.h"

namespace psagen::kernels {

// Of `made` the rows of level 8, of `before` the others.
inline std::vector<std::byte> coarsest_of(const std::vector<std::byte>& made,
                                          const std::vector<std::byte>& before, const Shape& rows,
                                          const PyramidShape& shape) {
  std::vector<std::byte> result = before;
  const std::int64_t heads = rows[0] * rows[1];
  const std::int64_t row_bytes = static_cast<std::int64_t>(made.size()) / (heads * rows[2]);
  for (std::int64_t head = 0; head < heads; ++head) {
    const std::int64_t first = (head * rows[2] + shape.row_begin(3, 0)) * row_bytes;
    const std::int64_t end = (head + 1) * rows[2] * row_bytes;
    std::copy(made.begin() + first, made.begin() + end, result.begin() + first);
  }
  return result;
}

}  // namespace psagen::kernels
