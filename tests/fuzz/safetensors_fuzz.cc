// A safetensors file of any bytes: refused, or every tensor lies inside it and none share a byte.
#include <numeric>
#include <vector>

#include "engine/weights/safetensors.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using psagen::testing::expect;
  const std::span<const std::byte> file = std::as_bytes(std::span(data, size));
  psagen::testing::allow_errors([&] {
    std::size_t covered = 0;
    unsigned sum = 0;
    for (const auto& entry : psagen::engine::parse_safetensors(file, "fuzz.safetensors")) {
      expect(entry.bytes >= file.data() && entry.num_bytes <= file.size() &&
                 entry.bytes + entry.num_bytes <= file.data() + file.size(),
             "a tensor lies inside its file");
      expect(entry.num_bytes == static_cast<std::size_t>(entry.shape.num_elements()) *
                                    psagen::dtype_size(entry.dtype),
             "shape and bytes agree");
      covered += entry.num_bytes;
      for (std::size_t i = 0; i < entry.num_bytes; ++i)
        sum += std::to_integer<unsigned>(entry.bytes[i]);
    }
    expect(covered <= file.size(), "no two tensors share a byte");
    static volatile unsigned sink;  // keeps the reads
    sink = sum;
    (void)sink;
  });
  return 0;
}
