// Weights nobody trained: every name is there, in whatever shape it is asked for. For benchmarks of
// models whose files are not at hand: shapes, bytes and arithmetic are the real ones.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/weights/weight_source.h"

namespace psagen::engine {

// Values are bfloat16, uniform in [-1/32, 1/32], the same for the same number of elements: tensors
// of one size share their bytes, so that 14 billion parameters need no 28 GB of host memory.
class RandomWeights final : public WeightSource {
 public:
  const TensorEntry* find(const std::string&) const override { return nullptr; }
  const TensorEntry* entry_for(const std::string& name, const Shape& wanted) const override;
  std::vector<std::string> names() const override { return {}; }
  std::string description() const override { return "random weights"; }

 private:
  mutable std::map<std::string, TensorEntry> entries_;
  mutable std::map<std::int64_t, std::vector<std::uint16_t>> values_;  // by number of elements
};

}  // namespace psagen::engine
