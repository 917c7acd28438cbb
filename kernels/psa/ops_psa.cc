// The public side of the pyramid sparse attention ops: check once, time, forward.
#include "kernels/core/error.h"
#include "kernels/ops.h"
#include "kernels/psa/block_levels.h"
#include "kernels/psa/norm_pool_check.h"
#include "kernels/psa/psa_args.h"
#include "kernels/psa/pyramid_sparse_attention.h"

namespace psagen::kernels {
namespace {

constexpr std::int64_t kMaxHeadDim = 256;

void check_dense(const char* op, const char* name, ConstTensorView x, DType dtype,
                 const Shape& wanted) {
  PSAGEN_CHECK(x && x.shape() == wanted && x.dtype() == dtype && x.is_contiguous(),
               ErrorCode::kInternal, op, ": ", name, " is ", dtype_name(x.dtype()), " ", x.shape(),
               ", wanted contiguous ", dtype_name(dtype), " ", wanted);
}

// The tensors of one call around q or k, which is [B, L, N, D].
class PsaChecks {
 public:
  PsaChecks(const char* op, ConstTensorView heads)
      : op_(op), heads_(heads.shape()), dtype_(heads.dtype()) {
    PSAGEN_CHECK(heads_.rank() == 4 && heads_[1] > 0, ErrorCode::kInternal, op,
                 ": wanted [B, L, N, D] with tokens, found ", heads_);
    PSAGEN_CHECK(heads_[3] % 8 == 0 && heads_[3] <= kMaxHeadDim, ErrorCode::kUnsupported, op,
                 ": head dim ", heads_[3], "; it must be a multiple of 8 up to ", kMaxHeadDim);
  }

  // q and k are of one type, v and out of one that may be another.
  void heads(const char* name, ConstTensorView x) const { heads(name, x, dtype_); }
  void heads(const char* name, ConstTensorView x, DType dtype) const {
    PSAGEN_CHECK(x && x.shape() == heads_, ErrorCode::kInternal, op_, ": ", name, " is ", x.shape(),
                 ", wanted ", heads_);
    PSAGEN_CHECK(x.dtype() == dtype && x.stride(-1) == 1, ErrorCode::kInternal, op_, ": ", name,
                 " is ", dtype_name(x.dtype()), " with a stride of ", x.stride(-1),
                 " in its last dimension, wanted ", dtype_name(dtype), " and 1");
  }

  // Both back ends keep the means of keys in the type of the keys, and so of values.
  void pyramid(const Pyramid& pyramid, DType keys, const PyramidFormat& format) const {
    PSAGEN_CHECK(keys == format.dtype, ErrorCode::kInternal, op_, ": keys are ", dtype_name(keys),
                 ", wanted ", dtype_name(format.dtype));
    const PyramidShape& shape = pyramid.shape;
    PSAGEN_CHECK(shape.num_tokens == heads_[1] &&
                     (shape.key_block == 32 || shape.key_block == 64 || shape.key_block == 128),
                 ErrorCode::kInternal, op_, ": a pyramid of ", shape.num_tokens,
                 " tokens in blocks of ", shape.key_block, " does not fit a sequence of ",
                 heads_[1]);
    PSAGEN_CHECK(shape.key_blocks() <= kMaxKeyBlocks, ErrorCode::kUnsupported, op_,
                 ": a sequence of ", shape.key_blocks(), " key blocks is too long; at most ",
                 kMaxKeyBlocks, " are possible");
    PSAGEN_CHECK(shape.finest_level == format.finest_level, ErrorCode::kInternal, op_,
                 ": the pyramid's finest level is ", shape.finest_level, ", wanted ",
                 format.finest_level);
    const Shape rows = {heads_[0], heads_[2], shape.total_rows(), heads_[3]};
    check_dense(op_, "pyramid keys", pyramid.keys, format.dtype, rows);
    check_dense(op_, "pyramid values", pyramid.values, pyramid.values.dtype(), rows);
    check_dense(op_, "pyramid log2 weight", pyramid.log2_weight, DType::kF32, {shape.total_rows()});
    if (pyramid.level_caps)
      check_dense(op_, "pyramid level caps", pyramid.level_caps, DType::kU8,
                  {heads_[0], heads_[2], shape.key_blocks()});
  }

  // One number, or `last` of them, for each (batch, head, query block).
  Shape rows(std::int64_t query_block, std::int64_t last) const {
    return {heads_[0], heads_[2], (heads_[1] + query_block - 1) / query_block, last};
  }
  void order(ConstTensorView x, std::int64_t query_block) const {
    if (x) check_dense(op_, "order", x, DType::kI32, {rows(query_block, 1).num_elements()});
  }
  void density(const char* name, ConstTensorView x) const {
    if (x) check_dense(op_, name, x, DType::kF32, {heads_[0], heads_[2]});
  }
  void dense(const char* name, ConstTensorView x, DType dtype, const Shape& wanted) const {
    check_dense(op_, name, x, dtype, wanted);
  }

 private:
  const char* op_;
  const Shape heads_;
  const DType dtype_;
};

}  // namespace

PyramidFormat Ops::pyramid_format(DType keys) const { return do_pyramid_format(keys); }

bool Ops::pools_in_norm(DType rows, std::int64_t heads, std::int64_t head_dim,
                        int query_block) const {
  return do_pools_in_norm(rows, heads, head_dim, query_block);
}

void check_norm_pool(const Ops& ops, const RmsNormRopeArgs& args) {
  const char* const op = "rms_norm_rope";
  const NormPool& pool = *args.pool;
  const Shape& y = args.y.shape();
  PSAGEN_CHECK(
      pool.first_token % kPooledQueries == 0 && pool.first_token + y[1] <= pool.num_tokens &&
          (y[1] % kPooledQueries == 0 || pool.first_token + y[1] == pool.num_tokens),
      ErrorCode::kInternal, op, ": tokens [", pool.first_token, ", ", pool.first_token + y[1],
      ") of ", pool.num_tokens, ", wanted whole groups of ", kPooledQueries);
  if (pool.keys) {
    PSAGEN_CHECK(pool.shape.num_tokens == pool.num_tokens && pool.shape.finest_level == 2,
                 ErrorCode::kInternal, op, ": a pyramid of ", pool.shape.num_tokens,
                 " tokens from level ", pool.shape.finest_level, " on, wanted ", pool.num_tokens,
                 " from 2 on");
    check_dense(op, "pooled keys", pool.keys, args.y.dtype(),
                {y[0], y[2], pool.shape.total_rows(), y[3]});
    check_dense(op, "pooled keys' weights", pool.log2_weight, DType::kF32,
                {pool.shape.total_rows()});
  }
  const int queries_of_row = kernels::queries_of_row(pool.estimator);
  std::int64_t query_block = kPooledQueries;
  if (pool.queries) {
    query_block = queries_of_row;
    query_block *= pool.queries.dim(3);
    check_dense(op, "pooled queries", pool.queries, args.y.dtype(),
                {y[0], y[2], (pool.num_tokens + query_block - 1) / query_block,
                 query_block / queries_of_row, y[3]});
  }
  PSAGEN_CHECK(ops.pools_in_norm(args.y.dtype(), y[2], y[3], static_cast<int>(query_block)),
               ErrorCode::kUnsupported, op, ": ", y[2], " heads of ", y[3], " in ",
               dtype_name(args.y.dtype()), " are not pooled beside the norm");
}

void Ops::build_pyramid(const BuildPyramidArgs& args) {
  const PsaChecks check("build_pyramid", args.v);
  check.heads("v", args.v, args.pyramid.values.dtype());
  check.heads("k", args.k, args.k.dtype());
  check.pyramid(args.pyramid, args.k.dtype(), pyramid_format(args.k.dtype()));
  PSAGEN_CHECK(args.part == PyramidPart::kAll || pools_in_attention(), ErrorCode::kUnsupported,
               "build_pyramid: a part of the pyramid, but this device makes no rows in attention");
  const Profiler::Scope zone(context_.profiler(), Zone::kPyramidPool);
  do_build_pyramid(args);
}

void Ops::select_blocks(const SelectBlocksArgs& args) {
  validate(args.params);
  const PsaChecks check("select_blocks", args.q);
  const std::int64_t query_block = args.params.query_block;
  const std::int64_t key_blocks = args.pyramid.shape.key_blocks();
  check.heads("q", args.q);
  check.heads("k", args.k);
  check.pyramid(args.pyramid, args.k.dtype(), pyramid_format(args.k.dtype()));
  PSAGEN_CHECK(args.params.key_block == args.pyramid.shape.key_block, ErrorCode::kInternal,
               "select_blocks: key_block ", args.params.key_block, " but the pyramid has ",
               args.pyramid.shape.key_block);
  PSAGEN_CHECK(!args.params.similarity_cap || args.pyramid.level_caps, ErrorCode::kInternal,
               "select_blocks: the similarity cap needs a pyramid with level caps");
  PSAGEN_CHECK(
      args.params.head_bounds.empty() || std::ssize(args.params.head_bounds) == args.q.dim(2),
      ErrorCode::kInternal, "select_blocks: bounds of ", args.params.head_bounds.size(),
      " heads, wanted ", args.q.dim(2));
  for (const TokenSpan& span : args.params.protected_tokens)
    PSAGEN_CHECK(span.end <= args.q.dim(1), ErrorCode::kInvalidArgument,
                 "psa: protected_tokens end at ", span.end, "; the sequence has ", args.q.dim(1),
                 " tokens");
  if (args.pooled_queries) {
    Shape means = check.rows(query_block, query_block / queries_of_row(args.params.estimator));
    means = {means[0], means[1], means[2], means[3], args.q.dim(3)};
    check.dense("pooled queries", args.pooled_queries, args.q.dtype(), means);
  }
  if (args.importance)
    check.dense("importance", args.importance, DType::kF32, check.rows(query_block, key_blocks));
  check.dense("levels", args.levels, DType::kU8, check.rows(query_block, key_blocks));
  check.order(args.order, query_block);
  check.density("nominal density", args.nominal_density);
  const Profiler::Scope zone(context_.profiler(), Zone::kBlockImportance);
  do_select_blocks(args);
}

void Ops::sparse_attention(const SparseAttentionArgs& args) {
  const PsaChecks check("sparse_attention", args.q);
  check.heads("q", args.q);
  check.heads("k", args.k);
  check.heads("v", args.v, args.pyramid.values.dtype());
  check.heads("out", args.out, args.v.dtype());
  check.pyramid(args.pyramid, args.k.dtype(), pyramid_format(args.k.dtype()));
  PSAGEN_CHECK(
      args.pending == PyramidPart::kNone || pools_in_attention(), ErrorCode::kUnsupported,
      "sparse_attention: rows of the pyramid are pending, but this device makes none here");
  PSAGEN_CHECK(args.pending == PyramidPart::kNone || args.pending == PyramidPart::kValues ||
                   args.pending == PyramidPart::kAll,
               ErrorCode::kInternal,
               "sparse_attention: keys alone are pending, wanted values or all");
  PSAGEN_CHECK(args.query_block > 0 && args.query_block <= 256, ErrorCode::kInternal,
               "sparse_attention: query blocks of ", args.query_block, " tokens");
  check.dense("levels", args.levels, DType::kU8,
              check.rows(args.query_block, args.pyramid.shape.key_blocks()));
  check.order(args.order, args.query_block);
  const Shape& heads = args.q.shape();
  if (args.lse) check.dense("lse", args.lse, DType::kF32, {heads[0], heads[2], heads[1]});
  check.density("executed density", args.executed_density);
  const Profiler::Scope zone(context_.profiler(), Zone::kSparseAttention);
  do_sparse_attention(args);
}

}  // namespace psagen::kernels
