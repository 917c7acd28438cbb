#include "kernels/psa/pyramid_sparse_attention.h"

#include "kernels/psa/psa_args.h"

namespace psagen::kernels {

struct PyramidSparseAttention::Buffers {
  Tensor keys, values, log2_weight, level_caps;
  Pyramid pyramid;
  Tensor levels, order;
};

PyramidSparseAttention::PyramidSparseAttention(Ops& ops, std::int64_t batch,
                                               std::int64_t num_tokens, std::int64_t num_heads,
                                               std::int64_t head_dim, const PsaParams& params)
    : params_(params), buffers_(std::make_unique<Buffers>()) {
  validate(params);
  Allocator& memory = ops.context().allocator();
  const PyramidFormat format = ops.pyramid_format(ops.context().score_dtype());
  Buffers& b = *buffers_;
  b.pyramid.shape = {num_tokens, params.key_block, format.finest_level};
  const std::int64_t rows = b.pyramid.shape.total_rows();
  const std::int64_t key_blocks = b.pyramid.shape.key_blocks();
  b.keys = Tensor(memory, format.dtype, {batch, num_heads, rows, head_dim});
  b.values = Tensor(memory, ops.pyramid_format(ops.context().compute_dtype()).dtype,
                    {batch, num_heads, rows, head_dim});
  b.log2_weight = Tensor(memory, DType::kF32, {rows});
  if (params.similarity_cap)
    b.level_caps = Tensor(memory, DType::kU8, {batch, num_heads, key_blocks});
  b.pyramid.keys = b.keys;
  b.pyramid.values = b.values;
  b.pyramid.log2_weight = b.log2_weight;
  b.pyramid.level_caps = b.level_caps;
  const std::int64_t query_blocks = (num_tokens + params.query_block - 1) / params.query_block;
  b.levels = Tensor(memory, DType::kU8, {batch, num_heads, query_blocks, key_blocks});
  b.order = Tensor(memory, DType::kI32, {batch * num_heads * query_blocks});
}

PyramidSparseAttention::~PyramidSparseAttention() = default;

ConstTensorView PyramidSparseAttention::levels() const { return buffers_->levels.view(); }

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
