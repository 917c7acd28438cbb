#include "kernels/cuda/cudnn_library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <string>
#include <vector>

namespace psagen::kernels::cuda {
namespace {

// The graph part alone, before the front library, which may bring in parts of another version that
// it finds first.
constexpr const char* kNames[] = {"libcudnn_graph.so.9", "libcudnn.so.9"};

void* open_any() {
  std::vector<std::string> paths;
  if (const char* const folder = std::getenv("PSAGEN_CUDNN_DIR"))
    for (const char* const name : kNames) paths.push_back(std::string(folder) + "/" + name);
  for (const char* const name : kNames) paths.emplace_back(name);
  for (const std::string& path : paths)
    if (void* const handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return handle;
  return nullptr;
}

template <typename Function>
bool find(void* handle, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(handle, name));
  return function != nullptr;
}

}  // namespace

std::unique_ptr<const CudnnLibrary> CudnnLibrary::open() {
  void* const handle = open_any();
  if (handle == nullptr) return nullptr;
  auto library = std::make_unique<CudnnLibrary>();
  decltype(&cudnnGetVersion) version = nullptr;
  const bool complete =
      find(handle, "cudnnGetVersion", version) &&
      find(handle, "cudnnGetErrorString", library->error_string) &&
      find(handle, "cudnnCreate", library->create) &&
      find(handle, "cudnnDestroy", library->destroy) &&
      find(handle, "cudnnSetStream", library->set_stream) &&
      find(handle, "cudnnBackendCreateDescriptor", library->create_descriptor) &&
      find(handle, "cudnnBackendDestroyDescriptor", library->destroy_descriptor) &&
      find(handle, "cudnnBackendSetAttribute", library->set_attribute) &&
      find(handle, "cudnnBackendGetAttribute", library->get_attribute) &&
      find(handle, "cudnnBackendFinalize", library->finalize) &&
      find(handle, "cudnnBackendExecute", library->execute);
  if (!complete) return nullptr;
  library->version = version();
  if (library->version / 10000 != CUDNN_GRAPH_MAJOR) return nullptr;
  return library;
}

}  // namespace psagen::kernels::cuda
