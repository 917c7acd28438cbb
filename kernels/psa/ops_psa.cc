// The public side of the pyramid sparse attention ops: check once, time, forward.
#include "kernels/core/error.h"
#include "kernels/ops.h"
#include "kernels/psa/psa_args.h"
#include "kernels/psa/pyramid_sparse_attention.h"

namespace psagen::kernels {
namespace {

constexpr std::int64_t kMaxHeadDim = 256;

void check_heads(const char* op, const char* name, ConstTensorView x, const Shape& wanted) {
  PSAGEN_CHECK(x && x.shape() == wanted, ErrorCode::kInternal, op, ": ", name, " is ", x.shape(),
               ", wanted ", wanted);
  PSAGEN_CHECK(x.dtype() == DType::kF32 && x.stride(-1) == 1, ErrorCode::kInternal, op, ": ", name,
               " must be F32 with a unit-stride last dimension");
}

void check_dense(const char* op, const char* name, ConstTensorView x, DType dtype,
                 const Shape& wanted) {
  PSAGEN_CHECK(x && x.shape() == wanted && x.dtype() == dtype && x.is_contiguous(),
               ErrorCode::kInternal, op, ": ", name, " is ", dtype_name(x.dtype()), " ", x.shape(),
               ", wanted contiguous ", dtype_name(dtype), " ", wanted);
}

// heads: [B, L, N, D]
void check_pyramid(const char* op, const Pyramid& pyramid, const Shape& heads) {
  PSAGEN_CHECK(heads.rank() == 4 && heads[1] > 0, ErrorCode::kInternal, op,
               ": wanted [B, L, N, D] with tokens, found ", heads);
  PSAGEN_CHECK(heads[3] % 8 == 0 && heads[3] <= kMaxHeadDim, ErrorCode::kUnsupported, op,
               ": head dim ", heads[3], "; it must be a multiple of 8 up to ", kMaxHeadDim);
  const PyramidShape& shape = pyramid.shape;
  PSAGEN_CHECK(shape.num_tokens == heads[1] &&
                   (shape.key_block == 32 || shape.key_block == 64 || shape.key_block == 128),
               ErrorCode::kInternal, op, ": a pyramid of ", shape.num_tokens,
               " tokens in blocks of ", shape.key_block, " does not fit a sequence of ", heads[1]);
  const Shape rows = {heads[0], heads[2], shape.total_rows(), heads[3]};
  check_dense(op, "pyramid keys", pyramid.keys, DType::kF32, rows);
  check_dense(op, "pyramid values", pyramid.values, DType::kF32, rows);
  check_dense(op, "pyramid log2 weight", pyramid.log2_weight, DType::kF32, {shape.total_rows()});
  if (pyramid.level_caps)
    check_dense(op, "pyramid level caps", pyramid.level_caps, DType::kU8,
                {heads[0], heads[2], shape.key_blocks()});
}

void check_mask(const char* op, const BlockMask* mask, const Pyramid& pyramid, const Shape& heads,
                int query_block) {
  const std::int64_t query_blocks = (heads[1] + query_block - 1) / query_block;
  PSAGEN_CHECK(mask != nullptr && mask->batch() == heads[0] && mask->heads() == heads[2] &&
                   mask->query_blocks() == query_blocks &&
                   mask->key_blocks() == pyramid.shape.key_blocks(),
               ErrorCode::kInternal, op, ": the block mask does not fit ", query_blocks,
               " query blocks and ", pyramid.shape.key_blocks(), " key blocks");
}

}  // namespace

void Ops::build_pyramid(const BuildPyramidArgs& args) {
  check_pyramid("build_pyramid", args.pyramid, args.k.shape());
  check_heads("build_pyramid", "k", args.k, args.k.shape());
  check_heads("build_pyramid", "v", args.v, args.k.shape());
  const Profiler::Scope zone(context_.profiler(), Zone::kPyramidPool);
  do_build_pyramid(args);
}

void Ops::select_blocks(const SelectBlocksArgs& args) {
  validate(args.params);
  check_pyramid("select_blocks", args.pyramid, args.q.shape());
  check_heads("select_blocks", "q", args.q, args.q.shape());
  check_heads("select_blocks", "k", args.k, args.q.shape());
  check_mask("select_blocks", args.mask, args.pyramid, args.q.shape(), args.params.query_block);
  PSAGEN_CHECK(args.params.key_block == args.pyramid.shape.key_block, ErrorCode::kInternal,
               "select_blocks: key_block ", args.params.key_block, " but the pyramid has ",
               args.pyramid.shape.key_block);
  PSAGEN_CHECK(!args.params.similarity_cap || args.pyramid.level_caps, ErrorCode::kInternal,
               "select_blocks: the similarity cap needs a pyramid with level caps");
  if (args.importance)
    check_dense("select_blocks", "importance", args.importance, DType::kF32,
                {args.mask->batch(), args.mask->heads(), args.mask->query_blocks(),
                 args.mask->key_blocks()});
  const Profiler::Scope zone(context_.profiler(), Zone::kBlockImportance);
  do_select_blocks(args);
}

void Ops::sparse_attention(const SparseAttentionArgs& args) {
  const Shape& heads = args.q.shape();
  check_pyramid("sparse_attention", args.pyramid, heads);
  check_heads("sparse_attention", "q", args.q, heads);
  check_heads("sparse_attention", "out", args.out, heads);
  PSAGEN_CHECK(args.query_block > 0 && args.query_block <= 256, ErrorCode::kInternal,
               "sparse_attention: query blocks of ", args.query_block, " tokens");
  check_mask("sparse_attention", args.mask, args.pyramid, heads, args.query_block);
  if (args.lse)
    check_dense("sparse_attention", "lse", args.lse, DType::kF32, {heads[0], heads[2], heads[1]});
  const Profiler::Scope zone(context_.profiler(), Zone::kSparseAttention);
  do_sparse_attention(args);
}

}  // namespace psagen::kernels
