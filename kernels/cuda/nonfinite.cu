// counter += elements of x whose exponent is all ones. Bytes: x once; an atomic only where
// something was found, so that a sound tensor costs its read and nothing more.
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/device/numeric.cuh"
#include "kernels/cuda/device_views.h"
#include "kernels/cuda/nonfinite.h"

namespace psagen::kernels::cuda {
namespace {

constexpr int kThreads = 256;

struct NonfiniteParams {
  const void* x;
  RowShape rows;
  std::int64_t packs;
  std::int32_t* counter;
};

template <typename T, int N>
__global__ void __launch_bounds__(kThreads) nonfinite_kernel(NonfiniteParams p) {
  const T* const x = static_cast<const T*>(p.x);
  const std::int64_t packs_per_row = p.rows.width / N;
  int found = 0;
  for (std::int64_t i = blockIdx.x * static_cast<std::int64_t>(kThreads) + threadIdx.x; i < p.packs;
       i += static_cast<std::int64_t>(gridDim.x) * kThreads) {
    float values[N];
    load_floats(x + p.rows.offset(i / packs_per_row) + i % packs_per_row * N, values);
#pragma unroll
    for (int j = 0; j < N; ++j) found += isfinite(values[j]) ? 0 : 1;
  }
  if (found > 0) atomicAdd(p.counter, found);
}

template <typename T, int N>
void launch_nonfinite(CudaRuntime& runtime, NonfiniteParams params) {
  params.packs = params.rows.num_rows() * (params.rows.width / N);
  const std::int64_t blocks = (params.packs + kThreads - 1) / kThreads;
  const std::int64_t most = runtime.multiprocessors() * 8;
  nonfinite_kernel<T, N>
      <<<static_cast<unsigned>(blocks < most ? blocks : most), kThreads, 0, runtime.stream()>>>(
          params);
  PSAGEN_CUDA(cudaGetLastError());
}

}  // namespace

void count_nonfinite(CudaRuntime& runtime, ConstTensorView x, TensorView counter) {
  if (x.num_elements() == 0) return;
  const RowShape rows = x.is_contiguous() ? flat_row_shape(x) : joined_row_shape(x);
  const NonfiniteParams params{x.bytes(), rows, 0, counter.data<std::int32_t>()};
  with_real_type(x.dtype(), [&](auto type) {
    using T = decltype(type);
    constexpr int kPack = 16 / sizeof(T);
    if (rows.width % kPack == 0 && has_aligned_chunks(x, rows, kPack))
      launch_nonfinite<T, kPack>(runtime, params);
    else
      launch_nonfinite<T, 1>(runtime, params);
  });
}

}  // namespace psagen::kernels::cuda
