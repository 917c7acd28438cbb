#include "engine/vae/decode_split.h"

#include <algorithm>

#include "engine/config/nearest_name.h"
#include "kernels/core/error.h"

namespace psagen::engine {
namespace {

// In latent pixels. Below the smallest a tile is mostly what it sees around itself; the usual one
// is taken where tiles are asked for and nothing says how many.
constexpr std::int64_t kSmallestTile = 12, kUsualTile = 32;

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// Half as many tiles more along the axis on which they are longer; false where they are small.
bool refine(DecodeSplit& split, std::int64_t height, std::int64_t width) {
  const std::int64_t tile_height = divide_up(height, split.rows);
  const std::int64_t tile_width = divide_up(width, split.columns);
  if (std::max(tile_height, tile_width) <= kSmallestTile) return false;
  std::int64_t& count = tile_width >= tile_height ? split.columns : split.rows;
  const std::int64_t most = tile_width >= tile_height ? width : height;
  count = std::min(std::max(count + 1, count * 3 / 2), most);
  return true;
}

}  // namespace

VaeTiling parse_vae_tiling(const std::string& text) {
  if (text == "auto") return VaeTiling::kAuto;
  if (text == "on") return VaeTiling::kOn;
  if (text == "off") return VaeTiling::kOff;
  throw Error(ErrorCode::kInvalidArgument,
              concat("unknown tiling '", text, "'", name_suggestion(text, {"auto", "on", "off"})));
}

std::vector<DecodeSplit> decode_splits(VaeTiling tiling, std::int64_t latent_height,
                                       std::int64_t latent_width) {
  DecodeSplit split;
  if (tiling == VaeTiling::kOn) {
    split.rows = divide_up(latent_height, kUsualTile);
    split.columns = divide_up(latent_width, kUsualTile);
    // Asked for, there are tiles; a latent of one pixel is the exception.
    if (!split.is_tiled())
      (latent_width >= latent_height ? split.columns : split.rows) =
          std::min<std::int64_t>(2, std::max(latent_height, latent_width));
  }
  std::vector<DecodeSplit> splits = {split};
  split.latent_frames_per_chunk = 1;
  splits.push_back(split);
  if (tiling == VaeTiling::kOff) return splits;
  while (refine(split, latent_height, latent_width)) splits.push_back(split);
  return splits;
}

}  // namespace psagen::engine
