// The CUDA back end is a module opened at run time, so that one build of the program also runs
// where there is no driver and no CUDA library. This side of the border compiles without CUDA.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/core/context.h"

namespace psagen::kernels::cuda {

// What the module exports under the name psagen_cuda_module: plain functions, so that a module of
// another build is told by its version before anything else of it is used.
struct ModuleApi {
  std::uint32_t version;
  // Throws Error(kDevice) where the driver or the GPU is missing or too old.
  DeviceRuntime* (*create)(const ContextOptions& options);
};
inline constexpr std::uint32_t kModuleVersion = 4;

// Opens the module (from $PSAGEN_CUDA_MODULE, else beside the program, in its library folder or
// beside libpsagen.so) and
// the GPU options.device names. Throws Error(kDevice) that says what is missing.
std::unique_ptr<DeviceRuntime> open_runtime(const ContextOptions& options);

}  // namespace psagen::kernels::cuda
