// One image as a PNG.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "engine/media/frame.h"

namespace psagen::engine {

// The bytes of the file. Throws Error(kOutOfMemory).
std::vector<std::uint8_t> encode_png(const Frame& frame);

// Written aside and renamed (partial_file.h); an existing file is Error(kInvalidArgument) unless
// `overwrite`.
void write_png(const std::filesystem::path& path, const Frame& frame, bool overwrite);

}  // namespace psagen::engine
