// A locality-preserving order of video tokens (spec psa.md section 4): runs of 8 tokens are close
// to 2x2x2 cubes and runs of 128 to 8x4x4 boxes, so that mean-pooling neighbours loses little.
#pragma once

#include <cstdint>
#include <vector>

namespace psagen::kernels {

struct TokenGrid {
  std::int64_t frames = 0;  // T
  std::int64_t rows = 0;    // H
  std::int64_t cols = 0;    // W
  std::int64_t num_tokens() const { return frames * rows * cols; }
};

// order[l] = raster index (t * rows + y) * cols + x of the l-th token. Always a permutation.
std::vector<std::int32_t> pyramid_token_order(const TokenGrid& grid);

// inverse[order[l]] = l
std::vector<std::int32_t> inverse_order(const std::vector<std::int32_t>& order);

}  // namespace psagen::kernels
