#include "kernels/cuda/implicit_conv3d.h"

#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/implicit_conv3d_kernel.cuh"

namespace psagen::kernels::cuda {
namespace {

constexpr int tiles_of(int size, int tile) { return (size + tile - 1) / tile; }

// Blocks that share pixels run together: the tiles of outputs first, then the frames of a tile.
template <typename Traits>
void launch_implicit_conv3d(const ConvolutionProblem& problem, cudaStream_t stream) {
  ImplicitParams params;
  params.problem = problem;
  params.tiles_w = tiles_of(problem.out_width(), Traits::kTile);
  params.tiles_n = tiles_of(problem.out_channels, Traits::kTileN);
  params.vector_pixels = problem.in_channels % 8 == 0 &&
                         reinterpret_cast<std::uintptr_t>(problem.x) % 16 == 0 &&
                         reinterpret_cast<std::uintptr_t>(problem.context) % 16 == 0;
  const std::int64_t blocks = std::int64_t{tiles_of(problem.out_height(), Traits::kTile)} *
                              params.tiles_w * problem.frames * params.tiles_n;
  PSAGEN_CUDA(cudaFuncSetAttribute(implicit_conv3d_kernel<Traits>,
                                   cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   Traits::kSharedBytes));
  implicit_conv3d_kernel<Traits>
      <<<static_cast<unsigned>(as_int(blocks)), Traits::kThreads, Traits::kSharedBytes, stream>>>(
          params);
  PSAGEN_CUDA(cudaGetLastError());
}

// Layers at hand have multiples of 96 outputs, and 3 or 16.
template <typename T, int kSide>
void launch_for_outputs(const ConvolutionProblem& problem, cudaStream_t stream) {
  const auto waste = [&](int tile) { return tiles_of(problem.out_channels, tile) * tile; };
  if (problem.out_channels <= 16)
    launch_implicit_conv3d<ImplicitTraits<T, kSide, 16>>(problem, stream);
  else if (waste(96) <= waste(64))
    launch_implicit_conv3d<ImplicitTraits<T, kSide, 96>>(problem, stream);
  else
    launch_implicit_conv3d<ImplicitTraits<T, kSide, 64>>(problem, stream);
}

template <typename T>
void launch_for_kernel(const ConvolutionProblem& problem, cudaStream_t stream) {
  if (problem.kernel_s == 1)
    launch_for_outputs<T, 1>(problem, stream);
  else
    launch_for_outputs<T, 3>(problem, stream);
}

}  // namespace

bool implicit_conv3d_takes(const ConvolutionProblem& problem) {
  return (problem.dtype == DType::kBF16 || problem.dtype == DType::kF16) &&
         (problem.kernel_s == 1 || problem.kernel_s == 3);
}

void implicit_conv3d(CudaRuntime& runtime, const ConvolutionProblem& problem) {
  if (problem.dtype == DType::kBF16)
    launch_for_kernel<__nv_bfloat16>(problem, runtime.stream());
  else
    launch_for_kernel<__half>(problem, runtime.stream());
}

}  // namespace psagen::kernels::cuda
