// A block map as a picture: query blocks down, key blocks across; on the left their levels, on the
// right the attention mass they hold; below each what its colours mean.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "engine/inspect/block_map.h"
#include "engine/media/frame.h"

namespace psagen::engine {

using Rgb = std::array<std::uint8_t, 3>;

struct Image {
  Image(std::int64_t the_width, std::int64_t the_height, Rgb background);

  Frame frame() const { return {.rgb = rgb, .width = width, .height = height}; }
  Rgb at(std::int64_t x, std::int64_t y) const;
  // Pixels [left, left + columns) x [top, top + rows).
  void fill(std::int64_t left, std::int64_t top, std::int64_t columns, std::int64_t rows,
            Rgb colour);

  std::int64_t width, height;
  std::vector<std::uint8_t> rgb;
};

// Where in the picture the pairs are. Cells have the proportions of their blocks: the panels are
// square. A cell's smaller side is 3 to 24 pixels for up to 640 blocks a side, 1 beyond.
struct BlockMapLayout {
  explicit BlockMapLayout(const BlockMap& map);

  std::int64_t cell_width, cell_height;
  std::int64_t levels_left, mass_left, top;
  std::int64_t legend_top, width, height;
};

// Bright is fine: yellow 1, green 2, teal 4, blue 8, almost black where nothing is computed (0).
Rgb level_colour(int level);

// Grey by the logarithm of the share of a query block's attention that a key block gets: white is
// all of it, black 1e-4 or less.
Rgb mass_colour(double share);

Image draw_block_map(const BlockMap& map);

}  // namespace psagen::engine
