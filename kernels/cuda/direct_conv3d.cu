// The convolution as a product in float32 arithmetic on the ordinary cores: for float32, where
// tensor cores would round the factors, and for kernels and types the tensor core kernel does not
// take.
//
// A block computes 64 pixels x 64 output channels, a thread 4 x 4 of them. The inner dimension is
// the places of the kernel times the stored channels, as the weights have them; pixels are gathered
// 16 inner elements at a time. Four neighbouring inner elements are of one place, for
// stored_channels is a multiple of 8.
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/device/numeric.cuh"
#include "kernels/cuda/implicit_conv3d.h"

namespace psagen::kernels::cuda {
namespace {

constexpr int kTile = 64;   // pixels, and output channels
constexpr int kInner = 16;  // inner elements at a time
constexpr int kEach = 4;    // a thread's share of any of them
constexpr int kThreads = 256;
constexpr int kPitch = kTile + 4;  // keeps four neighbours in 16 bytes, spreads rows over banks
static_assert(kTile / kEach * (kTile / kEach) == kThreads && kTile * kInner / kEach == kThreads);

// Where a pixel of the result lies.
struct PixelPlace {
  int frame = 0, row = 0, column = 0;
  bool exists = false;
};

__device__ PixelPlace pixel_place(const ConvolutionProblem& problem, std::int64_t pixel) {
  const int width = problem.out_width();
  const std::int64_t frame_pixels = static_cast<std::int64_t>(problem.out_height()) * width;
  PixelPlace place;
  place.exists = pixel < problem.frames * frame_pixels;
  place.frame = static_cast<int>(pixel / frame_pixels);
  const int in_frame = static_cast<int>(pixel % frame_pixels);
  place.row = in_frame / width;
  place.column = in_frame % width;
  return place;
}

// The channels of the input pixel that place `place` of the kernel sees; null for zeros.
template <typename T>
__device__ const T* source_pixel(const ConvolutionProblem& problem, const PixelPlace& pixel,
                                 int place) {
  const int side = problem.kernel_s, pad = (side - 1) / 2;
  const int frame = pixel.frame + place / (side * side) - (problem.kernel_t - 1);
  const int row = pixel.row + place / side % side - pad;
  const int column = pixel.column + place % side - pad;
  if (!pixel.exists || row < 0 || row >= problem.out_height() || column < 0 ||
      column >= problem.out_width())
    return nullptr;
  const int halving = problem.upsample ? 1 : 0;
  const std::int64_t frame_size =
      static_cast<std::int64_t>(problem.height) * problem.width * problem.in_channels;
  const std::int64_t at =
      static_cast<std::int64_t>((row >> halving) * problem.width + (column >> halving)) *
      problem.in_channels;
  if (frame >= 0) return static_cast<const T*>(problem.x) + frame * frame_size + at;
  if (problem.context == nullptr) return nullptr;
  return static_cast<const T*>(problem.context) + (frame + problem.kernel_t - 1) * frame_size + at;
}

__device__ void store_sums(const ConvolutionProblem& problem, std::int64_t first_pixel,
                           int first_channel, const float (&sums)[kEach][kEach]) {
  const std::int64_t count =
      static_cast<std::int64_t>(problem.frames) * problem.out_height() * problem.out_width();
#pragma unroll
  for (int i = 0; i < kEach; ++i)
#pragma unroll
    for (int j = 0; j < kEach; ++j) {
      const std::int64_t pixel = first_pixel + i;
      const int channel = first_channel + j;
      if (pixel >= count || channel >= problem.out_channels) continue;
      const std::int64_t index = pixel * problem.out_channels + channel;
      float value[1] = {0.0f};
      if (problem.residual.data != nullptr) load_reals<1>(problem.residual, index, value);
      value[0] += sums[i][j] + problem.bias[channel];
      store_reals<1>(value, problem.y, index);
    }
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    direct_conv3d_kernel(const __grid_constant__ ConvolutionProblem problem, int tiles_n) {
  __shared__ float pixels[kInner][kPitch];
  __shared__ float filters[kInner][kPitch];
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t first_pixel = static_cast<std::int64_t>(blockIdx.x) / tiles_n * kTile;
  const int first_out = static_cast<int>(blockIdx.x) % tiles_n * kTile;
  const int inner =
      problem.kernel_t * problem.kernel_s * problem.kernel_s * problem.stored_channels;

  // What the thread loads: four inner elements of one pixel, and of one output channel.
  const int load_row = thread / kEach, load_inner = thread % kEach * kEach;
  const PixelPlace load_pixel = pixel_place(problem, first_pixel + load_row);
  const T* const filter = static_cast<const T*>(problem.weight) +
                          static_cast<std::int64_t>(first_out + load_row) * inner;
  const bool has_filter = first_out + load_row < problem.out_channels;
  // What it computes.
  const int pixel = thread / (kTile / kEach) * kEach, out = thread % (kTile / kEach) * kEach;

  float sums[kEach][kEach] = {};
  for (int begin = 0; begin < inner; begin += kInner) {
    const int at = begin + load_inner;
    const int channel = at % problem.stored_channels;
    const T* const source =
        at < inner ? source_pixel<T>(problem, load_pixel, at / problem.stored_channels) : nullptr;
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const bool seen = source != nullptr && channel + i < problem.in_channels;
      pixels[load_inner + i][load_row] = seen ? widen(source[channel + i]) : 0.0f;
      filters[load_inner + i][load_row] = has_filter && at < inner ? widen(filter[at + i]) : 0.0f;
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kInner; ++k) {
      float a[kEach], b[kEach];
      load_floats<kEach>(&pixels[k][pixel], a);
      load_floats<kEach>(&filters[k][out], b);
#pragma unroll
      for (int i = 0; i < kEach; ++i)
#pragma unroll
        for (int j = 0; j < kEach; ++j) sums[i][j] = fmaf(a[i], b[j], sums[i][j]);
    }
    __syncthreads();
  }
  store_sums(problem, first_pixel + pixel, first_out + out, sums);
}

}  // namespace

void direct_conv3d(CudaRuntime& runtime, const ConvolutionProblem& problem) {
  const int tiles_n = (problem.out_channels + kTile - 1) / kTile;
  const std::int64_t pixels =
      std::int64_t{problem.frames} * problem.out_height() * problem.out_width();
  const unsigned blocks = static_cast<unsigned>(as_int((pixels + kTile - 1) / kTile * tiles_n));
  with_real_type(problem.dtype, [&](auto type) {
    direct_conv3d_kernel<decltype(type)>
        <<<blocks, kThreads, 0, runtime.stream()>>>(problem, tiles_n);
  });
  PSAGEN_CUDA(cudaGetLastError());
}

}  // namespace psagen::kernels::cuda
