// What a back end chose by measuring, kept from run to run by somebody who knows where: kernels
// know no files. Equal choices also give equal bits, which measuring anew does not promise.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace psagen {

// Used by one thread at a time.
class TuningStore {
 public:
  // Numbers whose meaning only the back end knows; it also checks them, they may come from a file.
  using Choice = std::vector<std::int64_t>;

  virtual ~TuningStore() = default;
  // `key` names everything a choice depends on: device, libraries, shape and types.
  virtual std::optional<Choice> find(const std::string& key) const = 0;
  virtual void keep(const std::string& key, const Choice& choice) = 0;
};

}  // namespace psagen
