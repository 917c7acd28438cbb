// A checkpoint folder in the Diffusers layout, written by a test.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/support/formula_weights.h"

namespace psagen::testing {

// One safetensors file of formula values.
inline void write_formula_safetensors(const std::filesystem::path& path,
                                      const std::map<std::string, Shape>& shapes,
                                      DType dtype = DType::kF32) {
  const FormulaSource source(shapes, dtype);
  nlohmann::json header;
  std::size_t offset = 0;
  for (const auto& [name, shape] : shapes) {
    nlohmann::json dims = nlohmann::json::array();
    for (int i = 0; i < shape.rank(); ++i) dims.push_back(shape[i]);
    const std::size_t end = offset + source.find(name)->num_bytes;
    header[name] = {{"dtype", dtype_name(dtype)}, {"shape", dims}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // tensors begin on an aligned address
  const std::uint64_t length = text.size();
  std::filesystem::create_directories(path.parent_path());
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&length), sizeof(length));
  file << text;
  for (const auto& [name, shape] : shapes) {
    const engine::TensorEntry& entry = *source.find(name);
    file.write(reinterpret_cast<const char*>(entry.bytes),
               static_cast<std::streamsize>(entry.num_bytes));
  }
}

}  // namespace psagen::testing
