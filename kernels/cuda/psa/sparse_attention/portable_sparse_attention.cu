// Launch of the portable kernel for sparse attention.
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/psa/sparse_attention/packed_rows.cuh"
#include "kernels/cuda/psa/sparse_attention/sparse_ways.h"

namespace psagen::kernels::cuda {
namespace {

// What a block may have on compute capability 8.6, 8.9 and 12.0; more elsewhere.
constexpr int kMaxSharedBytes = 99 * 1024;

HeadStrides head_strides(const ConstTensorView& view) {
  return {view.stride(0), view.stride(1), view.stride(2)};
}

template <typename S, typename T, int kHeadDim>
void launch(CudaRuntime& runtime, const PortableSparseParams<S, T>& params) {
  using Traits = PortableTraits<S, T, kHeadDim, kPortableTileColumns>;
  using Rows = PackedRows<Traits>;
  const int shared_bytes = Rows::shared_bytes(params.blocks.key_blocks);
  PSAGEN_CHECK(shared_bytes <= kMaxSharedBytes, ErrorCode::kUnsupported,
               "sparse_attention: ", params.blocks.key_blocks,
               " key blocks are too many for the portable kernel, wanted "
               "at most ",
               (kMaxSharedBytes - Rows::shared_bytes(0)) / 2);
  const auto kernel = portable_attention_kernel<Traits, Rows>;
  PSAGEN_CUDA(
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes));
  kernel<<<params.problem.jobs, Traits::kThreads, shared_bytes, runtime.stream()>>>(params);
  PSAGEN_CUDA(cudaGetLastError());
}

template <typename S, typename T>
void launch_of_types(CudaRuntime& runtime, const SparseAttentionArgs& args) {
  const FusedProblem problem = fused_problem(without_levels(args));
  const Pyramid& pyramid = args.pyramid;
  const auto row_bytes = [](const ConstTensorView& view) {
    return static_cast<int>(view.stride(1) * static_cast<std::int64_t>(sizeof(T)));
  };
  const PortableSparseParams<S, T> params{
      .q = reinterpret_cast<const S*>(args.q.bytes()),
      .k = reinterpret_cast<const S*>(args.k.bytes()),
      .v = reinterpret_cast<const T*>(args.v.bytes()),
      .out = reinterpret_cast<T*>(args.out.bytes()),
      .q_strides = head_strides(args.q),
      .k_strides = head_strides(args.k),
      .v_strides = head_strides(args.v),
      .out_strides = head_strides(args.out),
      .pooled_keys = reinterpret_cast<const S*>(pyramid.keys.bytes()),
      .pooled_values = reinterpret_cast<const T*>(pyramid.values.bytes()),
      .pooled_rows = static_cast<int>(pyramid.shape.total_rows()),
      .k_row_bytes = row_bytes(args.k),
      .v_row_bytes = row_bytes(args.v),
      .problem = problem,
      .blocks = block_levels(args),
      .inverse_scale_log2 = 1.0f / problem.scale_log2};
  if (args.q.dim(3) == 64) return launch<S, T, 64>(runtime, params);
  launch<S, T, 128>(runtime, params);
}

}  // namespace

void portable_sparse_attention(CudaRuntime& runtime, const SparseAttentionArgs& args) {
  for_fused_types(without_levels(args),
                  [&]<typename S, typename T>(S, T) { launch_of_types<S, T>(runtime, args); });
}

}  // namespace psagen::kernels::cuda
