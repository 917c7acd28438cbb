// A name for a model that changes when its files do, without reading gigabytes of weights.
#pragma once

#include <filesystem>
#include <string>

namespace psagen::engine {

// SHA-256 over the files of a Diffusers directory that determine the frames, sorted by path: path
// and whole content of the *.json of the model and its components and of the tokenizer's .model;
// path, size and header of every *.safetensors. Throws Error(kIo) naming a file it cannot read.
std::string hash_model_directory(const std::filesystem::path& directory);

}  // namespace psagen::engine
