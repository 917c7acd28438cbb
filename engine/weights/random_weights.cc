#include "engine/weights/random_weights.h"

namespace psagen::engine {
namespace {

constexpr float kLargest = 0x1p-5f;

std::vector<std::uint16_t> random_values(std::int64_t count) {
  std::vector<std::uint16_t> values(static_cast<std::size_t>(count));
  std::uint32_t state = 1;
  for (std::uint16_t& value : values) {
    state = state * 1664525u + 1013904223u;
    const float unit = static_cast<float>(state >> 8) * 0x1p-23f - 1.0f;
    value = to_bf16(unit * kLargest).bits;
  }
  return values;
}

}  // namespace

const TensorEntry* RandomWeights::entry_for(const std::string& name, const Shape& wanted) const {
  TensorEntry& entry = entries_[name];
  if (entry.bytes == nullptr || !(entry.shape == wanted)) {
    std::vector<std::uint16_t>& values = values_[wanted.num_elements()];
    if (values.empty()) values = random_values(wanted.num_elements());
    entry = {.name = name,
             .dtype = DType::kBF16,
             .shape = wanted,
             .bytes = reinterpret_cast<const std::byte*>(values.data()),
             .num_bytes = values.size() * sizeof(std::uint16_t),
             .file = description()};
  }
  return &entry;
}

}  // namespace psagen::engine
