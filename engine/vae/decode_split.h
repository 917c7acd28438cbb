// Into what a decode is cut so that memory holds it: tiles of the frame, chunks of time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace psagen::engine {

// Tiles change no pixel beyond rounding: each is computed with as many pixels around it as it can
// see (decode_tile.h). They cost what those pixels cost, and the finished frames wait in host
// memory for the last tile.
struct DecodeSplit {
  std::int64_t rows = 1, columns = 1;  // of tiles
  // Left open, it is what suits the device (decoder.h).
  std::optional<std::int64_t> latent_frames_per_chunk = std::nullopt;

  bool is_tiled() const { return rows * columns > 1; }
  bool operator==(const DecodeSplit&) const = default;
};

// Whether a frame is decoded in tiles: where memory is short, always, or never.
enum class VaeTiling { kAuto, kOn, kOff };

// "auto", "on" or "off". Throws Error(kInvalidArgument) naming anything else.
VaeTiling parse_vae_tiling(const std::string& text);

// What may be tried for a latent of this size, the least costly first, each taking less memory than
// the one before it. Never empty.
std::vector<DecodeSplit> decode_splits(VaeTiling tiling, std::int64_t latent_height,
                                       std::int64_t latent_width);

}  // namespace psagen::engine
