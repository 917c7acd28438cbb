// What device memory holds, kept in host memory while algorithms are timed that add to it: a copy
// on the device could be as large as any tensor, and no plan of memory has it.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <vector>

#include "kernels/cuda/cuda_check.h"

namespace psagen::kernels::cuda {

class KeptOnHost {
 public:
  // Waits for the stream. No bytes: nothing is kept.
  KeptOnHost(cudaStream_t stream, void* memory, std::size_t bytes)
      : stream_(stream), memory_(memory), bytes_(bytes) {
    copy(bytes_.data(), memory_);
  }
  // Waits for the stream, too.
  void restore() { copy(memory_, bytes_.data()); }

 private:
  void copy(void* to, const void* from) {
    if (bytes_.empty()) return;
    PSAGEN_CUDA(cudaMemcpyAsync(to, from, bytes_.size(), cudaMemcpyDefault, stream_));
    PSAGEN_CUDA(cudaStreamSynchronize(stream_));
  }

  cudaStream_t stream_;
  void* memory_;
  std::vector<std::byte> bytes_;
};

}  // namespace psagen::kernels::cuda
