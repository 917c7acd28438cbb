// From the device a user names to the context everything runs in.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "kernels/core/context.h"

namespace psagen::engine {

struct DeviceChoice {
  Device device;
  bool is_auto = true;  // the first GPU where there is one that can be used, else the CPU
};

// "auto", "cpu", "cuda" or "cuda:1". Throws Error(kInvalidArgument) naming anything else.
DeviceChoice parse_device(const std::string& text);

// "f32", "bf16" or "f16". Throws Error(kInvalidArgument) naming anything else.
DType parse_compute_dtype(const std::string& text);

// `dtype` left open is float32 on the CPU, bfloat16 on a GPU; `tuning_store` may be null. Throws
// Error(kDevice) where a device asked for by name cannot be used; where it was left to choose,
// `why_no_gpu` (may be null) is told why it is the CPU.
std::unique_ptr<Context> open_context(const DeviceChoice& choice, std::optional<DType> dtype,
                                      int num_threads,
                                      std::shared_ptr<TuningStore> tuning_store = nullptr,
                                      std::string* why_no_gpu = nullptr);

// A context on the GPU of options.device; null where this machine has none that can be used.
std::unique_ptr<Context> find_gpu(const ContextOptions& options);

// "cpu", or "cuda:0 (NVIDIA H100 80GB HBM3)".
std::string device_description(Context& context);

}  // namespace psagen::engine
