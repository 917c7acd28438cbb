// Memory-mapped safetensors: one file, or the shards an index names (spec/wan 1.1).
// Every offset is checked before it is used. Errors name the file and the tensor.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/weights/weight_source.h"

namespace psagen::engine {

// Parses the header of a safetensors file given all its bytes; entries point into `file`. Throws
// Error(kInvalidArgument): header longer than the file, bad JSON, unknown dtype, shape and offsets
// that disagree, ranges that overlap or leave holes or run past the end, duplicate names.
std::vector<TensorEntry> parse_safetensors(std::span<const std::byte> file,
                                           const std::string& file_name);

// Opens `<directory>/<stem>.safetensors.index.json` with its shards, or `<directory>/
// <stem>.safetensors`. A missing file, shard or indexed tensor is an error that names it.
std::unique_ptr<WeightSource> open_safetensors(const std::filesystem::path& directory,
                                               const std::string& stem);

}  // namespace psagen::engine
