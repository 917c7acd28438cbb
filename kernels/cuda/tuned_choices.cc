#include "kernels/cuda/tuned_choices.h"

#include "kernels/cuda/cuda_check.h"

namespace psagen::kernels::cuda {
namespace {

// To be raised where measuring, or what is measured against, changes.
constexpr int kGeneration = 1;

}  // namespace

TunedChoices::TunedChoices(const CudaRuntime& runtime, const std::string& library)
    : store_(runtime.tuning_store()) {
  if (store_ == nullptr) return;
  int driver = 0;
  PSAGEN_CUDA(cudaDriverGetVersion(&driver));
  prefix_ = concat(runtime.name(), ", ", runtime.multiprocessors(), " multiprocessors, driver ",
                   driver, ", ", library, ", generation ", kGeneration, ":");
}

std::string TunedChoices::key_of(std::span<const std::int64_t> problem) const {
  std::string key = prefix_;
  for (const std::int64_t number : problem) key += concat(' ', number);
  return key;
}

std::optional<TuningStore::Choice> TunedChoices::find(std::span<const std::int64_t> problem) const {
  if (store_ == nullptr) return std::nullopt;
  return store_->find(key_of(problem));
}

void TunedChoices::keep(std::span<const std::int64_t> problem, const TuningStore::Choice& choice) {
  if (store_ != nullptr) store_->keep(key_of(problem), choice);
}

}  // namespace psagen::kernels::cuda
