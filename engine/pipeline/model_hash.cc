#include "engine/pipeline/model_hash.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <fstream>
#include <vector>

#include "engine/pipeline/sha256.h"
#include "kernels/core/error.h"

namespace psagen::engine {
namespace {

namespace fs = std::filesystem;

constexpr std::array<const char*, 6> kFolders = {"",          "scheduler",   "text_encoder",
                                                 "tokenizer", "transformer", "vae"};

bool is_hashed(const fs::path& file) {
  const std::string extension = file.extension();
  return extension == ".json" || extension == ".model" || extension == ".safetensors";
}

// The first `count` bytes.
std::string read_front(const fs::path& file, std::uint64_t count) {
  std::string content(count, '\0');
  std::ifstream in(file, std::ios::binary);
  in.read(content.data(), static_cast<std::streamsize>(count));
  PSAGEN_CHECK(in.good(), ErrorCode::kIo, file.string(), ": cannot read its first ", count,
               " bytes");
  return content;
}

// Length field and JSON header of a safetensors file of `size` bytes.
std::string read_header(const fs::path& file, std::uint64_t size) {
  const std::uint64_t field = 8;
  PSAGEN_CHECK(size >= field, ErrorCode::kIo, file.string(), ": ", size,
               " bytes are too few for a safetensors file");
  const std::string front = read_front(file, field);
  std::uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | static_cast<unsigned char>(front[i]);
  PSAGEN_CHECK(length <= size - field, ErrorCode::kIo, file.string(), ": a header of ", length,
               " bytes in a file of ", size);
  return read_front(file, field + length);
}

}  // namespace

std::string hash_model_directory(const fs::path& directory) {
  std::vector<fs::path> files;
  for (const char* folder : kFolders) {
    if (!fs::is_directory(directory / folder)) continue;
    for (const fs::directory_entry& entry : fs::directory_iterator(directory / folder))
      if (entry.is_regular_file() && is_hashed(entry.path()))
        files.push_back(entry.path().lexically_relative(directory));
  }
  std::sort(files.begin(), files.end());

  Sha256 hash;
  for (const fs::path& file : files) {
    const std::uint64_t size = fs::file_size(directory / file);
    const bool is_weights = file.extension() == ".safetensors";
    const std::string content =
        is_weights ? read_header(directory / file, size) : read_front(directory / file, size);
    hash.update(concat(file.generic_string(), '\n', size, '\n', content.size(), '\n'));
    hash.update(content);
  }
  return hash.finish();
}

}  // namespace psagen::engine
