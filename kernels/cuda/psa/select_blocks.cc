// Pooled queries, scores, levels, order: a few kernels after one another on the stream. The scores
// of all heads together would be the largest tensor of the selection, so heads go in groups whose
// scores stay within kScoreBytes.
#include <algorithm>

#include "kernels/cuda/device_views.h"
#include "kernels/cuda/psa/block_scores.h"
#include "kernels/cuda/psa/level_allocation.h"
#include "kernels/cuda/psa/psa_kernels.h"

namespace psagen::kernels::cuda {
namespace {

// More than L2 holds: at 75,600 x 40 two groups take less time than seven that fit (README.md).
constexpr std::int64_t kScoreBytes = std::int64_t{128} << 20;

SelectionShape selection_shape(const SelectBlocksArgs& args) {
  SelectionShape shape;
  shape.tokens = args.q.dim(1);
  shape.heads = as_int(args.q.dim(2));
  shape.all_heads = as_int(args.q.dim(0) * args.q.dim(2));
  shape.depth = as_int(args.q.dim(3));
  shape.query_block = args.params.query_block;
  shape.query_blocks = as_int(args.levels.dim(2));
  shape.queries_of_row = queries_of_row(args.params.estimator);
  shape.key_block = args.params.key_block;
  shape.key_blocks = as_int(args.levels.dim(3));
  PSAGEN_CHECK(shape.key_blocks <= kMostSortedBlocks, ErrorCode::kUnsupported,
               "select_blocks: a row of ", shape.key_blocks, " key blocks, wanted at most ",
               kMostSortedBlocks, "; larger key blocks make fewer");
  as_int(static_cast<std::int64_t>(shape.all_heads) * shape.query_blocks * shape.slots());  // rows
  return shape;
}

ScoredKeys scored_keys(const SelectBlocksArgs& args) {
  const Pyramid& pyramid = args.pyramid;
  const PyramidShape& shape = pyramid.shape;
  const std::int64_t depth = pyramid.keys.dim(3);
  ScoredKeys keys;
  keys.staggered = args.params.estimator == ImportanceEstimator::kStaggered;
  keys.turn = static_cast<int>(args.params.seed % 16);
  keys.last_row = as_int((shape.num_tokens - 1) / 2);
  keys.dtype = pyramid.keys.dtype();
  keys.keys = pyramid.keys.bytes() + shape.row_begin(keys.staggered ? 1 : 3, 0) * depth *
                                         static_cast<std::int64_t>(dtype_size(keys.dtype));
  keys.head_stride = shape.total_rows() * depth;
  keys.log2_weight = pyramid.log2_weight.data<float>() + shape.row_begin(3, 0);
  return keys;
}

// Writes the scores of some heads.
class Scorer {
 public:
  Scorer(CudaRuntime& runtime, const SelectBlocksArgs& args, const SelectionShape& shape,
         Workspace::Scope& memory)
      : runtime_(runtime), args_(args), shape_(shape), keys_(scored_keys(args)) {
    if (!has_query_rows(args.params.estimator)) return;
    by_matrix_ = pooled_scores_by_matrix(shape, args.q.dtype());
    queries_.dtype = by_matrix_ ? args.q.dtype() : DType::kF32;
    queries_.slots = shape.slots();
    if (by_matrix_ && args.pooled_queries) {
      queries_.means = args.pooled_queries.bytes();
      return;
    }
    const std::int64_t values = static_cast<std::int64_t>(shape.all_heads) * shape.query_blocks *
                                queries_.slots * shape.depth;
    void* const means =
        memory.take<std::byte>(static_cast<std::size_t>(values) * dtype_size(queries_.dtype));
    queries_.means = means;
    if (!memory.counts_only()) pool_queries(runtime, shape, args.q, args.scale, queries_, means);
  }

  void score(const ScoreRows& rows) const {
    if (args_.params.estimator == ImportanceEstimator::kUniform)
      return uniform_scores(runtime_, shape_, rows);
    if (args_.params.estimator == ImportanceEstimator::kSampled)
      return sampled_scores(runtime_, shape_, args_.q, args_.k, args_.params.seed, args_.scale,
                            rows);
    if (by_matrix_) return pooled_scores(runtime_, shape_, queries_, keys_, rows);
    plain_pooled_scores(runtime_, shape_, queries_, keys_, rows);
  }

 private:
  CudaRuntime& runtime_;
  const SelectBlocksArgs& args_;
  const SelectionShape& shape_;
  ScoredKeys keys_;
  bool by_matrix_ = false;
  PooledQueries queries_;
};

}  // namespace

void select_blocks(CudaRuntime& runtime, Workspace& workspace, const SelectBlocksArgs& args) {
  if (args.levels.num_elements() == 0) return;
  const SelectionShape shape = selection_shape(args);
  const std::int64_t head_rows = shape.query_blocks;
  const int slots = has_query_rows(args.params.estimator) ? shape.slots() : 1;
  const std::int64_t head_scores = head_rows * slots * shape.key_blocks;
  const std::int64_t head_bytes = head_scores * static_cast<std::int64_t>(sizeof(float));
  Workspace::Scope memory(workspace);
  const Scorer scorer(runtime, args, shape, memory);
  const int group =
      static_cast<int>(std::clamp<std::int64_t>(kScoreBytes / head_bytes, 1, shape.all_heads));
  float* const scratch = memory.take<float>(static_cast<std::size_t>(group * head_scores));
  LevelRows out;
  if (args.importance) out.importance = args.importance.data<float>();
  if (args.params.similarity_cap) out.level_caps = args.pyramid.level_caps.data<std::uint8_t>();
  out.levels = args.levels.data<std::uint8_t>();
  out.work = memory.take<RowWork>(static_cast<std::size_t>(shape.all_heads * head_rows));
  if (memory.counts_only()) return;
  for (int head = 0; head < shape.all_heads; head += group) {
    const ScoreRows rows{scratch, head, std::min(group, shape.all_heads - head), slots};
    scorer.score(rows);
    allocate_levels(runtime, shape, args.params, rows, out);
  }
  order_rows(runtime, shape, out.work, args.order ? args.order.data<std::int32_t>() : nullptr,
             args.nominal_density ? args.nominal_density.data<float>() : nullptr);
}

}  // namespace psagen::kernels::cuda
