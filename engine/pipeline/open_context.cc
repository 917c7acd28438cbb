#include "engine/pipeline/open_context.h"

#include <charconv>
#include <utility>

#include "engine/config/nearest_name.h"
#include "kernels/backend.h"

namespace psagen::engine {
namespace {

constexpr const char* kCudaPrefix = "cuda:";

std::optional<int> device_index(const std::string& text) {
  const std::size_t prefix = std::string(kCudaPrefix).size();
  if (text.compare(0, prefix, kCudaPrefix) != 0) return std::nullopt;
  int index = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + prefix, end, index);
  if (error != std::errc() || stop != end || index < 0) return std::nullopt;
  return index;
}

}  // namespace

DeviceChoice parse_device(const std::string& text) {
  if (text == "auto") return {};
  if (text == "cpu") return {.device = {}, .is_auto = false};
  if (text == "cuda") return {.device = {DeviceKind::kCuda, 0}, .is_auto = false};
  if (const std::optional<int> index = device_index(text))
    return {.device = {DeviceKind::kCuda, *index}, .is_auto = false};
  throw Error(ErrorCode::kInvalidArgument,
              concat("unknown device '", text, "'",
                     name_suggestion(text, {"auto", "cpu", "cuda", "cuda:0"})));
}

DType parse_compute_dtype(const std::string& text) {
  if (text == "f32") return DType::kF32;
  if (text == "bf16") return DType::kBF16;
  if (text == "f16") return DType::kF16;
  throw Error(ErrorCode::kInvalidArgument,
              concat("unknown dtype '", text, "'", name_suggestion(text, {"f32", "bf16", "f16"})));
}

std::unique_ptr<Context> open_context(const DeviceChoice& choice, std::optional<DType> dtype,
                                      int num_threads, std::shared_ptr<TuningStore> tuning_store,
                                      std::string* why_no_gpu) {
  ContextOptions options;
  options.num_threads = num_threads;
  options.tuning_store = std::move(tuning_store);
  const bool may_be_gpu = choice.is_auto || choice.device.kind == DeviceKind::kCuda;
  if (may_be_gpu) {
    options.device = {DeviceKind::kCuda, choice.device.index};
    options.compute_dtype = dtype.value_or(DType::kBF16);
    try {
      return kernels::make_context(options);
    } catch (const Error& error) {
      if (!choice.is_auto || error.code() != ErrorCode::kDevice) throw;
      if (why_no_gpu != nullptr) *why_no_gpu = error.message();
    }
  }
  options.device = {};
  options.compute_dtype = dtype.value_or(DType::kF32);
  return kernels::make_context(options);
}

std::unique_ptr<Context> find_gpu(const ContextOptions& options) {
  try {
    return kernels::make_context(options);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kDevice) throw;
    return nullptr;
  }
}

std::string device_description(Context& context) {
  if (context.runtime() == nullptr) return "cpu";
  return concat(kCudaPrefix, context.device().index, " (", context.runtime()->info().name, ")");
}

}  // namespace psagen::engine
