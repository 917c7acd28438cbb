// cuDNN's graph API, opened at run time: the back end loads and computes where cuDNN is missing.
#pragma once

#include <cudnn_graph.h>

#include <cstddef>
#include <memory>

namespace psagen::kernels::cuda {

struct CudnnLibrary {
  std::size_t version = 0;  // major * 10000 + minor * 100 + patch
  decltype(&cudnnGetErrorString) error_string = nullptr;
  decltype(&cudnnCreate) create = nullptr;
  decltype(&cudnnDestroy) destroy = nullptr;
  decltype(&cudnnSetStream) set_stream = nullptr;
  decltype(&cudnnBackendCreateDescriptor) create_descriptor = nullptr;
  decltype(&cudnnBackendDestroyDescriptor) destroy_descriptor = nullptr;
  decltype(&cudnnBackendSetAttribute) set_attribute = nullptr;
  decltype(&cudnnBackendGetAttribute) get_attribute = nullptr;
  decltype(&cudnnBackendFinalize) finalize = nullptr;
  decltype(&cudnnBackendExecute) execute = nullptr;

  // From the folder $PSAGEN_CUDNN_DIR, else where the loader finds it; null where it is not there,
  // or is of another generation. It stays loaded until the program ends.
  static std::unique_ptr<const CudnnLibrary> open();
};

}  // namespace psagen::kernels::cuda
