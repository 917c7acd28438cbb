// What one library of this GPU chose by measurement, in the store of the context: a choice is only
// found again on the same GPU with the same versions.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "kernels/core/tuning_store.h"
#include "kernels/cuda/runtime.h"

namespace psagen::kernels::cuda {

class TunedChoices {
 public:
  // `library`: name and version of what the algorithms belong to.
  TunedChoices(const CudaRuntime& runtime, const std::string& library);

  // `problem`: everything else a choice depends on. Nothing is found, and nothing kept, where the
  // context has no store.
  std::optional<TuningStore::Choice> find(std::span<const std::int64_t> problem) const;
  void keep(std::span<const std::int64_t> problem, const TuningStore::Choice& choice);

 private:
  std::string key_of(std::span<const std::int64_t> problem) const;

  std::shared_ptr<TuningStore> store_;
  std::string prefix_;
};

}  // namespace psagen::kernels::cuda
