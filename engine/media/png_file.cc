#include "engine/media/png_file.h"

#include <string_view>

#include "engine/media/partial_file.h"
#include "kernels/core/error.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#include <stb_image_write.h>
#pragma GCC diagnostic pop

namespace psagen::engine {
namespace {

void append_bytes(void* bytes, void* data, int size) {
  auto& png = *static_cast<std::vector<std::uint8_t>*>(bytes);
  const auto* begin = static_cast<const std::uint8_t*>(data);
  png.insert(png.end(), begin, begin + size);
}

}  // namespace

std::vector<std::uint8_t> encode_png(const Frame& frame) {
  std::vector<std::uint8_t> png;
  const int width = static_cast<int>(frame.width), height = static_cast<int>(frame.height);
  const int encoded =
      stbi_write_png_to_func(append_bytes, &png, width, height, 3, frame.rgb.data(), 3 * width);
  PSAGEN_CHECK(encoded != 0, ErrorCode::kOutOfMemory, "no memory to encode an image of ", width,
               "x", height);
  return png;
}

void write_png(const std::filesystem::path& path, const Frame& frame, bool overwrite) {
  const std::vector<std::uint8_t> png = encode_png(frame);
  PartialFile file(path);
  file.append(std::string_view(reinterpret_cast<const char*>(png.data()), png.size()));
  file.commit(overwrite);
}

}  // namespace psagen::engine
