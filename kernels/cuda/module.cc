#include "kernels/cuda/module.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "kernels/core/error.h"

namespace psagen::kernels::cuda {
namespace {

namespace fs = std::filesystem;
constexpr const char* kModuleName = "libpsagen_cuda.so";

std::vector<fs::path> candidates() {
  if (const char* given = std::getenv("PSAGEN_CUDA_MODULE")) return {given};
  std::error_code error;
  const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  std::vector<fs::path> paths = {folder / kModuleName, folder / "../lib" / kModuleName};
  // Where this code is in a library of its own, the module lies beside that.
  if (Dl_info self; dladdr(&kModuleName, &self) != 0) {
    const fs::path beside = fs::path(self.dli_fname).parent_path();
    if (beside.is_absolute() && beside != folder) paths.push_back(beside / kModuleName);
  }
  // In a build tree programs lie in folders of their own, the module at its root.
  for (fs::path up = folder; up.has_relative_path(); up = up.parent_path())
    if (fs::exists(up / "CMakeCache.txt", error)) paths.push_back(up / kModuleName);
  return paths;
}

const ModuleApi& load(const fs::path& path) {
  // The module stays loaded until the program ends: its CUDA state cannot be unloaded safely.
  void* const handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  PSAGEN_CHECK(handle != nullptr, ErrorCode::kDevice,
               "the CUDA back end cannot be loaded: ", dlerror());
  using Entry = const ModuleApi* (*)();
  const auto entry = reinterpret_cast<Entry>(dlsym(handle, "psagen_cuda_module"));
  PSAGEN_CHECK(entry != nullptr, ErrorCode::kDevice, path.string(), " is not a module of psa-gen");
  const ModuleApi* const api = entry();
  PSAGEN_CHECK(api->version == kModuleVersion, ErrorCode::kDevice, path.string(), " has version ",
               api->version, ", wanted ", kModuleVersion);
  return *api;
}

// Looked for first: without it the module, and half a gigabyte of libraries, would be loaded in
// vain.
void expect_driver() {
  void* const driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
  PSAGEN_CHECK(driver != nullptr, ErrorCode::kDevice,
               "no GPU can be used: there is no NVIDIA driver (", dlerror(), ")");
  dlclose(driver);
}

}  // namespace

std::unique_ptr<DeviceRuntime> open_runtime(const ContextOptions& options) {
  expect_driver();
  std::string looked;
  for (const fs::path& path : candidates()) {
    std::error_code error;
    if (fs::exists(path, error))
      return std::unique_ptr<DeviceRuntime>(load(path.lexically_normal()).create(options));
    looked += (looked.empty() ? "" : ", ") + path.lexically_normal().string();
  }
  throw Error(ErrorCode::kDevice,
              concat("the GPU back end is not installed (no ", looked, "); use --device cpu"));
}

}  // namespace psagen::kernels::cuda
