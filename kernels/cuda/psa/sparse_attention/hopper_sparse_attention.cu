// Tensor maps and launch of the Hopper kernel for sparse attention.
#include <algorithm>

#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/dense_attention/tensor_maps.h"
#include "kernels/cuda/psa/sparse_attention/packed_tiles.cuh"
#include "kernels/cuda/psa/sparse_attention/sparse_ways.h"

namespace psagen::kernels::cuda {
namespace {

template <typename S, typename T, int kHeadDim>
void launch(CudaRuntime& runtime, const HopperSparseParams& params) {
  using Traits = HopperTraits<S, T, kHeadDim>;
  using Tiles = PackedTiles<Traits>;
  static_assert(Tiles::kColumns == kHopperTileColumns);
  constexpr int kSharedBytes = sizeof(HopperShared<Traits, Tiles>);
  static_assert(kSharedBytes <= 232448, "what a block may have");
  const auto kernel = hopper_attention_kernel<Traits, Tiles>;
  PSAGEN_CUDA(
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes));
  const int blocks = std::min(params.queue.numbers, runtime.multiprocessors());
  kernel<<<blocks, Traits::kThreads, kSharedBytes, runtime.stream()>>>(params);
  PSAGEN_CUDA(cudaGetLastError());
}

template <typename S, typename T>
void launch_of_types(CudaRuntime& runtime, const HopperSparseParams& params,
                     std::int64_t head_dim) {
  if (head_dim == 64) return launch<S, T, 64>(runtime, params);
  launch<S, T, 128>(runtime, params);
}

// Rows of the pyramid [B, N, R, D] as a tensor [B, R, N, D].
ConstTensorView pooled_rows(const ConstTensorView& rows) {
  const Shape shape = {rows.dim(0), rows.dim(2), rows.dim(1), rows.dim(3)};
  return {rows.bytes(), rows.dtype(), shape,
          Strides{rows.stride(0), rows.stride(2), rows.stride(1), rows.stride(3)}, rows.device()};
}

// Boxes of a key block's rows at each level: level 1 where `level_1` lies.
void block_boxes(const ConstTensorView& level_1, const ConstTensorView& pyramid, int key_block,
                 CUtensorMap (&maps)[kLevels]) {
  const ConstTensorView pooled = pooled_rows(pyramid);
  for (int i = 0; i < kLevels; ++i) maps[i] = head_boxes(i == 0 ? level_1 : pooled, key_block >> i);
}

// counters: 1 + heads of all batches, zeros.
PendingRows pending_rows(const SparseAttentionArgs& args, int* counters) {
  const Pyramid& pyramid = args.pyramid;
  PendingRows pending;
  pending.k = head_rows("sparse_attention", "k", args.k);
  pending.v = head_rows("sparse_attention", "v", args.v);
  pending.keys = pyramid.keys.bytes();
  pending.values = pyramid.values.bytes();
  for (int i = 0; i < 3; ++i)
    pending.begin[i] = static_cast<int>(pyramid.shape.row_begin(i + 1, 0));
  pending.rows = pyramid.shape.total_rows();
  pending.tokens = static_cast<int>(pyramid.shape.num_tokens);
  pending.heads = static_cast<int>(args.q.dim(2));
  pending.all_heads = static_cast<int>(args.q.dim(0)) * pending.heads;
  // Rows that are absent, of the last key block, are made, too: zeros.
  constexpr int kMostChunkTokens = 64;
  pending.chunk_tokens = std::min(pyramid.shape.key_block, kMostChunkTokens);
  pending.chunks_of_rows = static_cast<int>(pyramid.shape.key_blocks()) *
                           (pyramid.shape.key_block / pending.chunk_tokens);
  pending.chunks = (args.pending == PyramidPart::kAll ? 2 : 1) * pending.chunks_of_rows;
  pending.taken = counters;
  pending.done = counters + 1;
  return pending;
}

}  // namespace

void hopper_sparse_attention(CudaRuntime& runtime, Workspace& workspace,
                             const SparseAttentionArgs& args) {
  Workspace::Scope scope(workspace);
  HopperSparseParams params;
  params.problem = fused_problem(without_levels(args));
  // An eighth of the keys: what a row of low density has.
  const bool pools = args.pending != PyramidPart::kNone;
  const int all_heads = static_cast<int>(args.q.dim(0) * args.q.dim(2));
  params.queue = make_job_queue(runtime, scope, params.problem.jobs, params.problem.keys / 1024,
                                static_cast<int>(args.q.dim(3)), pools ? 1 + all_heads : 0);
  if (scope.counts_only()) return;
  if (pools) params.pending = pending_rows(args, params.queue.besides);
  params.q = head_boxes(args.q, kFusedQueries);
  params.out = head_boxes(args.out, 16);
  block_boxes(args.k, args.pyramid.keys, args.pyramid.shape.key_block, params.k);
  block_boxes(args.v, args.pyramid.values, args.pyramid.shape.key_block, params.v);
  params.blocks = block_levels(args);
  params.inverse_scale_log2 = 1.0f / params.problem.scale_log2;
  for_fused_types(without_levels(args), [&]<typename S, typename T>(S, T) {
    launch_of_types<S, T>(runtime, params, args.q.dim(3));
  });
}

}  // namespace psagen::kernels::cuda
