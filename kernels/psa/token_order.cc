// The order: cut the grid into boxes of 128 tokens as close to cubes as they can be ((W, H, T) =
// (8, 4, 4) where there is room), visit them along a serpentine, and inside a box interleave the
// bits of the coordinates, so that aligned runs of 2, 4, 8, ..., 128 tokens are boxes themselves.
// What the boxes leave over at the far sides of the grid (at most three slabs, thinner than a box)
// is cut the same way with boxes that fit it. Large boxes come before small ones, so a ragged side
// costs the tokens near it some locality but never shifts the others off their boxes.
//
// Mean bounding box of aligned runs and box volume / run length, measured by the unit test
// (tests/unit/psa/token_order_test.cc):
//   grid W x H x T      runs of 8 (w, h, t)    runs of 128 (w, h, t)  volume / 128 (most)
//   80 x 45 x 18        2.04, 1.98, 2.00       8.36, 4.32, 3.85       1.00 (1.0)
//   80 x 48 x 18        2.00, 2.00, 2.00       8.00, 4.44, 3.78       1.00 (1.0)
//   40 x 22 x 31        2.06, 2.00, 1.97       8.67, 4.16, 4.07       1.03 (5.6)
//   52 x 30 x 21        2.10, 2.00, 1.95       8.38, 4.39, 4.14       1.06 (11.7)
//   16 x 16 x 9         2.22, 2.00, 1.89       8.89, 4.44, 3.67       1.00 (1.0)
// Runs of 8 always fill their box on these grids. A generalised Hilbert curve reaches a volume of
// 1.63 to 1.69 for runs of 128, plain bit interleaving 1.00 to 2.59 with torn blocks of up to 64
// (spec psa.md 4.2).
#include "kernels/psa/token_order.h"

#include <algorithm>
#include <array>
#include <limits>

#include "kernels/core/error.h"

namespace psagen::kernels {
namespace {

constexpr int kBoxBits = 7;  // a box has 2^7 = 128 tokens, one query block

using Axis = std::size_t;
constexpr Axis kCols = 0, kRows = 1, kFrames = 2;  // x, y, t
using Coord = std::array<std::int64_t, 3>;

// A box as the axis that each of its doublings extends, the finest first.
struct Box {
  Coord size = {1, 1, 1};
  std::array<Axis, kBoxBits> axis_of_bit{};
  int bits = 0;
};

// Doubles the shortest axis that still has room, columns before rows before frames.
Box fit_box(const Coord& extent) {
  Box box;
  while (box.bits < kBoxBits) {
    Axis best = 3;
    for (const Axis axis : {kCols, kRows, kFrames})
      if (2 * box.size[axis] <= extent[axis] && (best == 3 || box.size[axis] < box.size[best]))
        best = axis;
    if (best == 3) break;
    box.size[best] *= 2;
    box.axis_of_bit[static_cast<std::size_t>(box.bits++)] = best;
  }
  return box;
}

// A part of the grid that boxes of one shape fill exactly.
struct Brick {
  Coord origin;
  Coord extent;
  Box box;
};

void cut_into_bricks(const Coord& origin, const Coord& extent, std::vector<Brick>& bricks) {
  if (extent[kCols] * extent[kRows] * extent[kFrames] == 0) return;
  const Box box = fit_box(extent);
  Coord whole;
  for (const Axis axis : {kCols, kRows, kFrames})
    whole[axis] = extent[axis] / box.size[axis] * box.size[axis];
  bricks.push_back({origin, whole, box});
  cut_into_bricks({origin[0], origin[1], origin[2] + whole[2]},
                  {whole[0], whole[1], extent[2] - whole[2]}, bricks);
  cut_into_bricks({origin[0], origin[1] + whole[1], origin[2]},
                  {whole[0], extent[1] - whole[1], extent[2]}, bricks);
  cut_into_bricks({origin[0] + whole[0], origin[1], origin[2]},
                  {extent[0] - whole[0], extent[1], extent[2]}, bricks);
}

class OrderWriter {
 public:
  OrderWriter(const TokenGrid& grid, std::vector<std::int32_t>& order)
      : grid_(grid), order_(order) {}

  // Each box but the first shares a face with the one before it.
  void append_brick(const Brick& brick) {
    const auto& [origin, extent, box] = brick;
    const std::int64_t cols = extent[kCols] / box.size[kCols];
    const std::int64_t rows = extent[kRows] / box.size[kRows];
    const std::int64_t frames = extent[kFrames] / box.size[kFrames];
    std::int64_t rows_done = 0;
    for (std::int64_t t = 0; t < frames; ++t)
      for (std::int64_t row = 0; row < rows; ++row, ++rows_done)
        for (std::int64_t col = 0; col < cols; ++col) {
          const std::int64_t y = t % 2 == 0 ? row : rows - 1 - row;
          const std::int64_t x = rows_done % 2 == 0 ? col : cols - 1 - col;
          append_box({origin[0] + x * box.size[0], origin[1] + y * box.size[1],
                      origin[2] + t * box.size[2]},
                     box);
        }
  }

 private:
  void append_box(const Coord& origin, const Box& box) {
    for (int token = 0; token < 1 << box.bits; ++token) {
      Coord at = origin;
      Coord step = {1, 1, 1};
      for (int bit = 0; bit < box.bits; ++bit) {
        const Axis axis = box.axis_of_bit[static_cast<std::size_t>(bit)];
        if ((token >> bit & 1) != 0) at[axis] += step[axis];
        step[axis] *= 2;
      }
      order_.push_back(static_cast<std::int32_t>(
          (at[kFrames] * grid_.rows + at[kRows]) * grid_.cols + at[kCols]));
    }
  }

  const TokenGrid& grid_;
  std::vector<std::int32_t>& order_;
};

}  // namespace

std::vector<std::int32_t> pyramid_token_order(const TokenGrid& grid) {
  PSAGEN_CHECK(grid.frames > 0 && grid.rows > 0 && grid.cols > 0, ErrorCode::kInvalidArgument,
               "a token grid has no tokens: ", grid.frames, " x ", grid.rows, " x ", grid.cols);
  PSAGEN_CHECK(grid.num_tokens() <= std::numeric_limits<std::int32_t>::max(),
               ErrorCode::kUnsupported, "a token grid is too large: ", grid.num_tokens(),
               " tokens");
  std::vector<std::int32_t> order;
  order.reserve(static_cast<std::size_t>(grid.num_tokens()));
  std::vector<Brick> bricks;
  cut_into_bricks({0, 0, 0}, {grid.cols, grid.rows, grid.frames}, bricks);
  std::stable_sort(bricks.begin(), bricks.end(),
                   [](const Brick& a, const Brick& b) { return a.box.bits > b.box.bits; });
  OrderWriter writer(grid, order);
  for (const Brick& brick : bricks) writer.append_brick(brick);
  return order;
}

std::vector<std::int32_t> inverse_order(const std::vector<std::int32_t>& order) {
  std::vector<std::int32_t> inverse(order.size());
  for (std::size_t l = 0; l < order.size(); ++l)
    inverse[static_cast<std::size_t>(order[l])] = static_cast<std::int32_t>(l);
  return inverse;
}

}  // namespace psagen::kernels
