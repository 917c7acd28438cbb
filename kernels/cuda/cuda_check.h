// Vendor status codes become Error(kDevice), running out of memory Error(kOutOfMemory).
#pragma once

#include <cublasLt.h>
#include <cuda_runtime.h>

#include <string>

#include "kernels/core/error.h"

namespace psagen::kernels::cuda {

inline void check_status(cudaError_t status, const char* call, const char* where) {
  if (status == cudaSuccess) [[likely]]
    return;
  cudaGetLastError();  // a sticky error shows again; any other must not be blamed on the next call
  throw Error(status == cudaErrorMemoryAllocation ? ErrorCode::kOutOfMemory : ErrorCode::kDevice,
              concat("CUDA: ", cudaGetErrorString(status), " (", call, ")"), where);
}

inline void check_status(cublasStatus_t status, const char* call, const char* where) {
  if (status == CUBLAS_STATUS_SUCCESS) [[likely]]
    return;
  throw Error(status == CUBLAS_STATUS_ALLOC_FAILED ? ErrorCode::kOutOfMemory : ErrorCode::kDevice,
              concat("cuBLAS: ", cublasLtGetStatusString(status), " (", call, ")"), where);
}

}  // namespace psagen::kernels::cuda

#define PSAGEN_CUDA(call) \
  ::psagen::kernels::cuda::check_status((call), #call, __FILE__ ":" PSAGEN_STRINGIFY(__LINE__))
