// Weights that a formula gives (spec/wan 10), so that fixtures hold results and no weights: a value
// depends on the tensor's name and the element's index alone. scripts/golden_formula.py computes
// the same numbers for the published implementations.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/weights/weight_source.h"

namespace psagen::testing {

// 32-bit FNV-1a of the name: where its elements begin in the sequence below.
inline std::uint32_t formula_seed(std::string_view name) {
  std::uint32_t hash = 0x811c9dc5u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x01000193u;
  return hash;
}

// Element of the sequence, in [-1, 1).
inline double formula_uniform(std::uint32_t x) {
  x ^= x >> 16;
  x *= 0x7feb352du;
  x ^= x >> 15;
  x *= 0x846ca68bu;
  x ^= x >> 16;
  return static_cast<double>(x >> 8) / 8388608.0 - 1.0;
}

// value = offset + factor * uniform
struct FormulaScale {
  double offset = 0.0;
  double factor = 1.0;
};

inline FormulaScale formula_scale(std::string_view name, const Shape& shape) {
  if (name.ends_with(".bias") || name.ends_with("scale_shift_table")) return {0.0, 0.25};
  if (name.ends_with(".gamma") || (name.ends_with(".weight") && shape.rank() == 1))
    return {1.0, 0.25};
  if (name.ends_with("shared.weight") || name.ends_with("relative_attention_bias.weight") ||
      name == "ctx")
    return {0.0, 1.0};
  if (name == "x") return {0.0, std::sqrt(3.0)};
  const double fan_in = static_cast<double>(shape.num_elements() / shape[0]);
  return {0.0, std::sqrt(3.0 / fan_in)};
}

inline std::vector<float> formula_values(std::string_view name, const Shape& shape) {
  const std::uint32_t seed = formula_seed(name);
  const FormulaScale scale = formula_scale(name, shape);
  std::vector<float> values(static_cast<std::size_t>(shape.num_elements()));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(
        scale.offset + scale.factor * formula_uniform(seed + static_cast<std::uint32_t>(i)));
  return values;
}

// A checkpoint of formula values in memory: float32, or rounded to bfloat16.
class FormulaSource final : public engine::WeightSource {
 public:
  explicit FormulaSource(const std::map<std::string, Shape>& shapes, DType dtype = DType::kF32) {
    for (const auto& [name, shape] : shapes) {
      std::vector<std::byte>& bytes = storage_[name];
      const std::vector<float> values = formula_values(name, shape);
      bytes.resize(values.size() * dtype_size(dtype));
      for (std::size_t i = 0; i < values.size(); ++i) {
        const bf16 rounded = to_bf16(values[i]);
        if (dtype == DType::kF32) std::memcpy(&bytes[4 * i], &values[i], 4);
        if (dtype == DType::kBF16) std::memcpy(&bytes[2 * i], &rounded, 2);
      }
      entries_[name] = {name, dtype, shape, bytes.data(), bytes.size(), "formula"};
    }
  }

  const engine::TensorEntry* find(const std::string& name) const override {
    const auto it = entries_.find(name);
    return it == entries_.end() ? nullptr : &it->second;
  }
  std::vector<std::string> names() const override {
    std::vector<std::string> names;
    for (const auto& [name, entry] : entries_) names.push_back(name);
    return names;
  }
  std::string description() const override { return "formula weights"; }

 private:
  std::map<std::string, std::vector<std::byte>> storage_;
  std::map<std::string, engine::TensorEntry> entries_;
};

}  // namespace psagen::testing
