#include "kernels/psa/pyramid_sparse_attention.h"

#include "kernels/psa/psa_args.h"
#include "kernels/psa/pyramid_buffers.h"

namespace psagen::kernels {

struct PyramidSparseAttention::Buffers {
  Buffers(Ops& ops, const Shape& heads, DType scored, DType summed, const PsaParams& params)
      : pooled(ops, heads, scored, summed, params.key_block, params.similarity_cap),
        pyramid(pooled.pyramid()) {
    Allocator& memory = ops.context().allocator();
    const std::int64_t query_blocks = (heads[1] + params.query_block - 1) / params.query_block;
    levels =
        Tensor(memory, DType::kU8, {heads[0], heads[2], query_blocks, pyramid.shape.key_blocks()});
    order = Tensor(memory, DType::kI32, {heads[0] * heads[2] * query_blocks});
  }

  PyramidBuffers pooled;
  Pyramid pyramid;  // views of it
  Tensor levels, order;
};

PyramidSparseAttention::PyramidSparseAttention(Ops& ops, std::int64_t batch,
                                               std::int64_t num_tokens, std::int64_t num_heads,
                                               std::int64_t head_dim, const PsaParams& params)
    : PyramidSparseAttention(ops, {batch, num_tokens, num_heads, head_dim},
                             ops.context().score_dtype(), ops.context().compute_dtype(), params) {}

PyramidSparseAttention::PyramidSparseAttention(Ops& ops, const Shape& heads, DType scored,
                                               DType summed, const PsaParams& params)
    : params_(params) {
  validate(params);
  buffers_ = std::make_unique<Buffers>(ops, heads, scored, summed, params);
}

ConstTensorView PyramidSparseAttention::levels() const { return buffers_->levels.view(); }

PyramidSparseAttention::~PyramidSparseAttention() = default;

void PyramidSparseAttention::forward(Ops& ops, ConstTensorView q, ConstTensorView k,
                                     ConstTensorView v, double scale, std::uint64_t seed,
                                     TensorView out, TensorView lse, const PsaDensity& density) {
  Buffers& b = *buffers_;
  PsaParams params = params_;
  params.seed = seed;
  // K, V -> means of 1, 2, 4 and 8 tokens
  ops.build_pyramid({.k = k,
                     .v = v,
                     .similarity_thresholds = params.similarity_thresholds,
                     .pyramid = b.pyramid});
  // Q against the coarsest keys -> importance of each pair of blocks -> level of each pair
  ops.select_blocks({.q = q,
                     .k = k,
                     .pyramid = b.pyramid,
                     .scale = scale,
                     .params = params,
                     .importance = {},
                     .levels = b.levels,
                     .order = b.order,
                     .nominal_density = density.nominal});
  // each query block attends to its key blocks, each at its level
  ops.sparse_attention({.q = q,
                        .k = k,
                        .v = v,
                        .pyramid = b.pyramid,
                        .levels = b.levels,
                        .order = b.order,
                        .scale = scale,
                        .query_block = params.query_block,
                        .out = out,
                        .lse = lse,
                        .executed_density = density.executed});
}

}  // namespace psagen::kernels
