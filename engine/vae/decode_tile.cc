#include "engine/vae/decode_tile.h"

#include <algorithm>

namespace psagen::engine {
namespace {

// Pixels that a convolution of three pixels a side sees beyond its own, in each direction.
constexpr std::int64_t kReach = 1;
constexpr std::int64_t kConvsOfResnet = 2;

PixelSpan widened(const PixelSpan& span, std::int64_t pixels) {
  return {span.begin - pixels, span.end + pixels};
}

PixelSpan halved(const PixelSpan& span) {
  return {(span.begin - (span.begin & 1)) / 2, (span.end + (span.end & 1)) / 2};
}

PixelSpan clamped(const PixelSpan& span, std::int64_t size) {
  return {std::max<std::int64_t>(span.begin, 0), std::min(span.end, size)};
}

std::vector<PixelSpan> parts(std::int64_t size, std::int64_t count) {
  count = std::min(count, size);
  std::vector<PixelSpan> result;
  for (std::int64_t i = 0; i < count; ++i)
    result.push_back({size * i / count, size * (i + 1) / count});
  return result;
}

}  // namespace

TileAxis tile_axis(std::span<const UpBlockShape> stages, std::int64_t latent_size,
                   PixelSpan latent) {
  std::int64_t scale = 1;
  for (const UpBlockShape& stage : stages) scale *= stage.doubles_space ? 2 : 1;
  TileAxis axis;
  axis.output = {latent.begin * scale, latent.end * scale};
  axis.inputs.resize(stages.size());
  PixelSpan wanted = widened(axis.output, kReach);  // by the last convolution
  for (std::size_t i = stages.size(); i-- > 0;) {
    if (stages[i].doubles_space) {
      scale /= 2;
      wanted = halved(widened(wanted, kReach));
    }
    wanted = widened(wanted, kReach * kConvsOfResnet * stages[i].num_resnets);
    wanted = axis.inputs[i] = clamped(wanted, latent_size * scale);
  }
  return axis;
}

std::vector<DecodeTile> decode_tiles(std::span<const UpBlockShape> stages, const DecodeSplit& split,
                                     std::int64_t latent_height, std::int64_t latent_width) {
  std::vector<DecodeTile> tiles;
  for (const PixelSpan& rows : parts(latent_height, split.rows))
    for (const PixelSpan& columns : parts(latent_width, split.columns))
      tiles.push_back(
          {tile_axis(stages, latent_height, rows), tile_axis(stages, latent_width, columns)});
  return tiles;
}

}  // namespace psagen::engine
