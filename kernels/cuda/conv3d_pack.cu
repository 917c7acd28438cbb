// Convolution weights from the order of a checkpoint to the order of the kernels: all channels of a
// pixel of the kernel together. Runs once, at load.
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/device/numeric.cuh"
#include "kernels/cuda/implicit_conv3d.h"

namespace psagen::kernels::cuda {
namespace {

constexpr int kThreads = 256;

struct Filters {
  ConstReals weight;  // [Co, Ci, pixels]
  Reals packed;
  std::int64_t count = 0;  // of packed
  int out_channels = 0, in_channels = 0, stored_channels = 0;
  int pixels = 0;  // of a kernel
};

__device__ float filter_value(const Filters& filters, int out, int in, int pixel) {
  float value[1];
  load_reals<1>(
      filters.weight,
      (static_cast<std::int64_t>(out) * filters.in_channels + in) * filters.pixels + pixel, value);
  return value[0];
}

__global__ void pack_filters_kernel(Filters filters) {
  const std::int64_t index = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= filters.count) return;
  const int in = static_cast<int>(index % filters.stored_channels);
  const std::int64_t row = index / filters.stored_channels;
  const int pixel = static_cast<int>(row % filters.pixels);
  const int out = static_cast<int>(row / filters.pixels);
  const float value[1] = {in < filters.in_channels ? filter_value(filters, out, in, pixel) : 0.0f};
  store_reals<1>(value, filters.packed, index);
}

Filters filters_of(const ConstTensorView& weight, const TensorView& y) {
  Filters filters;
  filters.weight = reals(weight);
  filters.packed = reals(y);
  filters.count = y.num_elements();
  filters.out_channels = as_int(weight.dim(0));
  filters.in_channels = as_int(weight.dim(1));
  filters.stored_channels = as_int(y.dim(-1));
  filters.pixels = as_int(weight.dim(2) * weight.dim(3) * weight.dim(4));
  return filters;
}

unsigned blocks_of(std::int64_t count) {
  return static_cast<unsigned>(as_int((count + kThreads - 1) / kThreads));
}

}  // namespace

void pack_filters(CudaRuntime& runtime, ConstTensorView weight, TensorView y) {
  if (y.num_elements() == 0) return;
  const Filters filters = filters_of(weight, y);
  pack_filters_kernel<<<blocks_of(filters.count), kThreads, 0, runtime.stream()>>>(filters);
  PSAGEN_CUDA(cudaGetLastError());
}

}  // namespace psagen::kernels::cuda
