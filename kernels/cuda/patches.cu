// Latent <-> tokens of 2 x 2 patches, in raster or in a given order; the vectors of a patch are
// said in kernels/ops.h. One thread for each channel of each token: its four elements lie side by
// side in a token going in, and neighbouring threads write and read neighbouring elements of a
// token both ways. Bytes that must move: each element's on both sides; the latent is small.
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/device/numeric.cuh"
#include "kernels/cuda/rearrange.h"

namespace psagen::kernels::cuda {
namespace {

constexpr int kThreads = 256;

struct PatchParams {
  const std::int32_t* order;  // null: raster order
  RowShape token_rows;
  int channels, frames, rows, columns;  // rows and columns of patches
  int count;                            // of (batch, token, channel)

  // What one thread works on, and where: offsets of the token and of the patch's first pixel.
  struct Place {
    int channel;
    std::int64_t token, pixel;
  };
  __device__ Place place(int index) const {
    const int tokens = frames * rows * columns;
    const int channel = index % channels, row = index / channels;
    const int batch = row / tokens, token = row % tokens;
    const int raster = order == nullptr ? token : order[token];
    const int column = raster % columns, patch_row = raster / columns % rows;
    const std::int64_t frame = raster / columns / rows;
    const std::int64_t first_row =
        ((static_cast<std::int64_t>(batch) * channels + channel) * frames + frame) * 2 * rows;
    return {channel, token_rows.offset(batch, token),
            (first_row + 2 * patch_row) * 2 * columns + 2 * column};
  }
};

template <typename T>
__global__ void __launch_bounds__(kThreads)
    patchify_kernel(const PatchParams p, const float* latent, T* tokens) {
  const int index = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  if (index >= p.count) return;
  const PatchParams::Place place = p.place(index);
  T* const out = tokens + place.token + 4 * place.channel;
  const float* const pixel = latent + place.pixel;
  out[0] = narrow<T>(pixel[0]);
  out[1] = narrow<T>(pixel[1]);
  out[2] = narrow<T>(pixel[2 * p.columns]);
  out[3] = narrow<T>(pixel[2 * p.columns + 1]);
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    unpatchify_kernel(const PatchParams p, const T* tokens, float* latent) {
  const int index = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  if (index >= p.count) return;
  const PatchParams::Place place = p.place(index);
  const T* const in = tokens + place.token + place.channel;
  float* const pixel = latent + place.pixel;
  pixel[0] = widen(in[0]);
  pixel[1] = widen(in[p.channels]);
  pixel[2 * p.columns] = widen(in[2 * p.channels]);
  pixel[2 * p.columns + 1] = widen(in[3 * p.channels]);
}

PatchParams patch_params(const Shape& latent, const ConstTensorView& order,
                         const ConstTensorView& tokens) {
  PatchParams p{};
  if (order) p.order = order.data<std::int32_t>();
  p.token_rows = row_shape(tokens);
  p.channels = as_int(latent[1]);
  p.frames = as_int(latent[2]);
  p.rows = as_int(latent[3] / 2);
  p.columns = as_int(latent[4] / 2);
  p.count = as_int(latent.num_elements() / 4);
  return p;
}

unsigned blocks_for(const PatchParams& p) {
  return (static_cast<unsigned>(p.count) + kThreads - 1) / kThreads;
}

}  // namespace

void patchify(CudaRuntime& runtime, const PatchifyArgs& args) {
  if (args.tokens.num_elements() == 0) return;
  const PatchParams p = patch_params(args.latent.shape(), args.order, args.tokens);
  const float* const latent = args.latent.data<float>();
  with_real_type(args.tokens.dtype(), [&](auto type) {
    patchify_kernel<<<blocks_for(p), kThreads, 0, runtime.stream()>>>(
        p, latent, reinterpret_cast<decltype(type)*>(args.tokens.bytes()));
  });
  PSAGEN_CUDA(cudaGetLastError());
}

void unpatchify(CudaRuntime& runtime, const UnpatchifyArgs& args) {
  if (args.tokens.num_elements() == 0) return;
  const PatchParams p = patch_params(args.latent.shape(), args.order, args.tokens);
  float* const latent = args.latent.data<float>();
  with_real_type(args.tokens.dtype(), [&](auto type) {
    unpatchify_kernel<<<blocks_for(p), kThreads, 0, runtime.stream()>>>(
        p, reinterpret_cast<const decltype(type)*>(args.tokens.bytes()), latent);
  });
  PSAGEN_CUDA(cudaGetLastError());
}

}  // namespace psagen::kernels::cuda
