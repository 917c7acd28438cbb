// Choices by measurement, kept for as long as a test runs.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "kernels/core/tuning_store.h"

namespace psagen::testing {

class MapStore final : public TuningStore {
 public:
  std::optional<Choice> find(const std::string& key) const override {
    const auto at = choices.find(key);
    if (at == choices.end()) return std::nullopt;
    ++found;
    return at->second;
  }
  void keep(const std::string& key, const Choice& choice) override {
    choices[key] = choice;
    ++kept;
  }

  std::map<std::string, Choice> choices;
  mutable int found = 0;
  int kept = 0;
};

}  // namespace psagen::testing
