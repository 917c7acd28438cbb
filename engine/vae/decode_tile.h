// Where a tile of a frame lies at each stage of the decoder's upper part. A stage is computed with
// all pixels that what is wanted of it can see, and cut to that before the next one: what the edge
// of a tile got wrong, by seeing zeros where the frame goes on, never reaches a pixel that is kept.
// The first stage of Wan's decoder works with 13 latent pixels around a tile, the last one with 7
// pixels of the frame.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/vae/decode_split.h"
#include "engine/vae/decoder_blocks.h"

namespace psagen::engine {

struct PixelSpan {
  std::int64_t begin = 0, end = 0;
  std::int64_t length() const { return end - begin; }
  bool operator==(const PixelSpan&) const = default;
};

// One axis of a tile.
struct TileAxis {
  std::vector<PixelSpan> inputs;  // of each stage, in its pixels
  PixelSpan output;               // in pixels of the frame
};

struct DecodeTile {
  TileAxis rows, columns;
};

// `latent`: the pixels of the latent whose part of the frame is wanted, of `latent_size`.
TileAxis tile_axis(std::span<const UpBlockShape> stages, std::int64_t latent_size,
                   PixelSpan latent);

// Row after row. More tiles than latent pixels are as many as there are pixels.
std::vector<DecodeTile> decode_tiles(std::span<const UpBlockShape> stages, const DecodeSplit& split,
                                     std::int64_t latent_height, std::int64_t latent_width);

}  // namespace psagen::engine
