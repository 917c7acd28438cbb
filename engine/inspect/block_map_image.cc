#include "engine/inspect/block_map_image.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <string_view>

#include "kernels/core/error.h"

namespace psagen::engine {
namespace {

constexpr Rgb kWhite = {255, 255, 255};
constexpr Rgb kBlack = {0, 0, 0};
constexpr std::int64_t kMargin = 12;
constexpr std::int64_t kSwatch = 15;         // edge of a legend's colour
constexpr std::int64_t kPoint = 2;           // pixels of a glyph's point
constexpr std::int64_t kGlyph = 4 * kPoint;  // a character and the gap behind it
constexpr std::int64_t kRamp = 100;          // width of the mass legend's ramp
constexpr std::int64_t kLegendWidth = 200;
constexpr double kDecades = 4.0;  // of mass between black and white

// The few characters of the legends, 3 x 5 points, a row three bits from the left: no font is worth
// a dependency for these.
std::array<int, 5> glyph(char c) {
  switch (c) {
    case '0':
      return {7, 5, 5, 5, 7};
    case '1':
      return {2, 6, 2, 2, 7};
    case '2':
      return {7, 1, 7, 4, 7};
    case '4':
      return {5, 5, 7, 1, 1};
    case '8':
      return {7, 5, 7, 5, 7};
    case '.':
      return {0, 0, 0, 0, 2};
    default:
      throw Error(ErrorCode::kInternal, concat("no glyph for '", c, "'"));
  }
}

void write(std::string_view text, std::int64_t left, std::int64_t top, Image& image) {
  for (const char c : text) {
    const std::array<int, 5> rows = glyph(c);
    for (int y = 0; y < 5; ++y)
      for (int x = 0; x < 3; ++x)
        if ((rows[static_cast<std::size_t>(y)] >> (2 - x) & 1) != 0)
          image.fill(left + x * kPoint, top + y * kPoint, kPoint, kPoint, kBlack);
    left += kGlyph;
  }
}

void draw_legends(const BlockMapLayout& layout, Image& image) {
  const std::int64_t text_top = layout.legend_top + (kSwatch - 5 * kPoint) / 2;
  std::int64_t left = layout.levels_left;
  for (const int level : {1, 2, 4, 8, 0}) {
    image.fill(left, layout.legend_top, kSwatch, kSwatch, level_colour(level));
    write(std::to_string(level), left + kSwatch + 2 * kPoint, text_top, image);
    left += kSwatch + 3 * kGlyph;
  }
  constexpr std::string_view kLeast = "0.0001";  // 10 to the minus kDecades
  write(kLeast, layout.mass_left, text_top, image);
  left = layout.mass_left + static_cast<std::int64_t>(kLeast.size()) * kGlyph + kPoint;
  for (std::int64_t x = 0; x < kRamp; ++x) {
    const double share = static_cast<double>(x) / static_cast<double>(kRamp - 1);
    image.fill(left + x, layout.legend_top, 1, kSwatch,
               mass_colour(std::pow(10.0, kDecades * (share - 1.0))));
  }
  write("1", left + kRamp + 2 * kPoint, text_top, image);
}

}  // namespace

Image::Image(std::int64_t the_width, std::int64_t the_height, Rgb background)
    : width(the_width), height(the_height), rgb(static_cast<std::size_t>(3 * width * height)) {
  fill(0, 0, width, height, background);
}

Rgb Image::at(std::int64_t x, std::int64_t y) const {
  const std::size_t index = static_cast<std::size_t>(3 * (y * width + x));
  return {rgb[index], rgb[index + 1], rgb[index + 2]};
}

void Image::fill(std::int64_t left, std::int64_t top, std::int64_t columns, std::int64_t rows,
                 Rgb colour) {
  for (std::int64_t y = top; y < top + rows; ++y)
    for (std::int64_t x = left; x < left + columns; ++x)
      std::copy(colour.begin(), colour.end(), rgb.begin() + 3 * (y * width + x));
}

BlockMapLayout::BlockMapLayout(const BlockMap& map) {
  constexpr std::int64_t kMostDrawnLarge = 640, kPanel = 768, kLargestCell = 24;
  const std::int64_t blocks = std::max(map.query_blocks, map.key_blocks);
  const std::int64_t unit =
      blocks <= kMostDrawnLarge ? std::clamp<std::int64_t>(kPanel / blocks, 3, kLargestCell) : 1;
  const int smaller = std::min(map.query_block, map.key_block);
  cell_width = unit * map.key_block / smaller;
  cell_height = unit * map.query_block / smaller;
  const std::int64_t panel_width = map.key_blocks * cell_width;
  levels_left = kMargin;
  mass_left = levels_left + std::max(panel_width, kLegendWidth) + kMargin;
  top = kMargin;
  legend_top = top + map.query_blocks * cell_height + kMargin;
  width = mass_left + std::max(panel_width, kLegendWidth) + kMargin;
  height = legend_top + kSwatch + kMargin;
}

Rgb level_colour(int level) {
  switch (level) {
    case 1:
      return {253, 231, 37};
    case 2:
      return {94, 201, 98};
    case 4:
      return {33, 145, 140};
    case 8:
      return {59, 82, 139};
    default:
      return {32, 32, 32};
  }
}

Rgb mass_colour(double share) {
  const double decades = std::log10(std::max(share, 1e-300)) + kDecades;
  const auto grey =
      static_cast<std::uint8_t>(std::lround(255.0 * std::clamp(decades / kDecades, 0.0, 1.0)));
  return {grey, grey, grey};
}

Image draw_block_map(const BlockMap& map) {
  const BlockMapLayout layout(map);
  Image image(layout.width, layout.height, kWhite);
  for (std::int64_t i = 0; i < map.query_blocks; ++i) {
    const auto row = map.mass.begin() + i * map.key_blocks;
    const double row_mass = std::accumulate(row, row + map.key_blocks, 0.0);
    for (std::int64_t j = 0; j < map.key_blocks; ++j) {
      const std::int64_t left = j * layout.cell_width;
      const std::int64_t top = layout.top + i * layout.cell_height;
      const int level = map.levels[static_cast<std::size_t>(i * map.key_blocks + j)];
      image.fill(layout.levels_left + left, top, layout.cell_width, layout.cell_height,
                 level_colour(level));
      image.fill(layout.mass_left + left, top, layout.cell_width, layout.cell_height,
                 mass_colour(row[j] / row_mass));
    }
  }
  draw_legends(layout, image);
  return image;
}

}  // namespace psagen::engine
