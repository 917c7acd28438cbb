#include "kernels/psa/pyramid_sparse_attention.h"

#include <algorithm>
#include <vector>

#include "kernels/core/error.h"
#include "kernels/psa/psa_args.h"
#include "kernels/psa/pyramid_buffers.h"

namespace psagen::kernels {

namespace {

struct PyramidSplit {
  PyramidPart before, within;  // attention
};

// What selection reads is made before attention, unless it came with the norm or nothing is
// selected, and the rest in it; all of it before where the back end makes none there.
PyramidSplit split_pyramid(bool in_attention, ImportanceEstimator estimator,
                           const PsaSelection& selection) {
  if (!in_attention) return {PyramidPart::kAll, PyramidPart::kNone};
  if (selection.reuse) return {PyramidPart::kNone, PyramidPart::kAll};
  const PyramidPart scored = scored_part(estimator);
  const PyramidPart rest = scored == PyramidPart::kKeys ? PyramidPart::kValues : PyramidPart::kAll;
  return {selection.pooled ? PyramidPart::kNone : scored, rest};
}

}  // namespace

// The levels of a call and what else of them a later call needs.
struct PyramidSparseAttention::Slot {
  Tensor levels, order;
  Tensor nominal_density;  // only where levels are kept
  bool is_chosen = false;
};

struct PyramidSparseAttention::Buffers {
  Buffers(Ops& ops, const Shape& heads, DType scored, DType summed, const PsaParams& params,
          std::int64_t num_slots)
      : pooled(ops, heads, scored, summed, params.key_block, params.similarity_cap),
        pyramid(pooled.pyramid()),
        slots(static_cast<std::size_t>(std::max<std::int64_t>(num_slots, 1))) {
    Allocator& memory = ops.context().allocator();
    const std::int64_t query_blocks = (heads[1] + params.query_block - 1) / params.query_block;
    const Shape blocks = {heads[0], heads[2], query_blocks, pyramid.shape.key_blocks()};
    for (Slot& slot : slots) {
      slot.levels = Tensor(memory, DType::kU8, blocks);
      slot.order = Tensor(memory, DType::kI32, {heads[0] * heads[2] * query_blocks});
      if (num_slots > 0) slot.nominal_density = Tensor(memory, DType::kF32, {heads[0], heads[2]});
    }
  }

  PyramidBuffers pooled;
  Pyramid pyramid;  // views of it
  Tensor queries;   // pooled, where that is done in their norm
  std::vector<Slot> slots;
  std::size_t last_slot = 0;
};

PyramidSparseAttention::PyramidSparseAttention(Ops& ops, std::int64_t batch,
                                               std::int64_t num_tokens, std::int64_t num_heads,
                                               std::int64_t head_dim, const PsaParams& params,
                                               std::int64_t num_slots)
    : params_(params) {
  validate(params);
  const DType scored = ops.context().score_dtype();
  const Shape heads = {batch, num_tokens, num_heads, head_dim};
  buffers_ = std::make_unique<Buffers>(ops, heads, scored, ops.context().compute_dtype(), params,
                                       num_slots);
  // Caps need the keys once more; they are made with the pyramid.
  pools_in_norm_ = !params.similarity_cap && ops.pools_in_attention() &&
                   ops.pools_in_norm(scored, num_heads, head_dim, params.query_block);
  if (pools_in_norm_ && has_query_rows(params.estimator))
    buffers_->queries = Tensor(ops.context().allocator(), scored,
                               {batch, num_heads, buffers_->slots[0].levels.view().dim(2),
                                params.query_block / queries_of_row(params.estimator), head_dim});
}

PyramidSparseAttention::PyramidSparseAttention(Ops& ops, const Shape& heads, DType scored,
                                               DType summed, const PsaParams& params)
    : params_(params) {
  validate(params);
  buffers_ = std::make_unique<Buffers>(ops, heads, scored, summed, params, 0);
}

PyramidSparseAttention::~PyramidSparseAttention() = default;

ConstTensorView PyramidSparseAttention::levels() const {
  return buffers_->slots[buffers_->last_slot].levels.view();
}

NormPool PyramidSparseAttention::query_pool(std::int64_t first_token, double scale) const {
  NormPool pool;
  pool.first_token = first_token;
  pool.num_tokens = buffers_->pyramid.shape.num_tokens;
  pool.queries = buffers_->queries;
  pool.estimator = params_.estimator;
  pool.scale = scale;
  return pool;
}

NormPool PyramidSparseAttention::key_pool(std::int64_t first_token) const {
  NormPool pool;
  pool.first_token = first_token;
  pool.shape = buffers_->pyramid.shape;
  pool.num_tokens = pool.shape.num_tokens;
  pool.keys = buffers_->pyramid.keys;
  pool.coarsest_only = scored_part(params_.estimator) == PyramidPart::kCoarsestKeys;
  pool.log2_weight = buffers_->pyramid.log2_weight;
  return pool;
}

// A quota gives every row the same work, which needs no order.
TensorView PyramidSparseAttention::order_of(Slot& slot, const PsaSelection& selection) const {
  const bool is_quota = params_.selection == LevelSelection::kQuota && !params_.similarity_cap &&
                        !has_protected(params_);
  return is_quota && selection.head_bounds.empty() ? TensorView() : slot.order.view();
}

// Q against the coarsest keys -> importance of each pair of blocks -> level of each pair
void PyramidSparseAttention::select(Ops& ops, ConstTensorView q, ConstTensorView k, double scale,
                                    const PsaSelection& selection, Slot& slot, TensorView nominal) {
  PsaParams params = params_;
  params.seed = selection.seed;
  params.head_bounds = selection.head_bounds;
  ops.select_blocks({.q = q,
                     .k = k,
                     .pyramid = buffers_->pyramid,
                     .scale = scale,
                     .params = params,
                     .pooled_queries = selection.pooled ? buffers_->queries.view() : TensorView{},
                     .importance = {},
                     .levels = slot.levels,
                     .order = order_of(slot, selection),
                     .nominal_density = nominal});
  slot.is_chosen = true;
}

void PyramidSparseAttention::forward(Ops& ops, ConstTensorView q, ConstTensorView k,
                                     ConstTensorView v, double scale, const PsaSelection& selection,
                                     TensorView out, TensorView lse, const PsaDensity& density) {
  Buffers& b = *buffers_;
  PSAGEN_CHECK(selection.slot >= 0 && selection.slot < std::ssize(b.slots), ErrorCode::kInternal,
               "psa: slot ", selection.slot, " of ", b.slots.size());
  PSAGEN_CHECK(!selection.pooled || pools_in_norm_, ErrorCode::kInternal,
               "psa: nothing is pooled in the norm here");
  b.last_slot = static_cast<std::size_t>(selection.slot);
  Slot& slot = b.slots[b.last_slot];
  PSAGEN_CHECK(!selection.reuse || slot.is_chosen, ErrorCode::kInternal, "psa: slot ",
               selection.slot, " holds no levels to reuse");
  // K, V -> means of 1, 2, 4 and 8 tokens
  const PyramidSplit split = split_pyramid(ops.pools_in_attention(), params_.estimator, selection);
  if (split.before != PyramidPart::kNone)
    ops.build_pyramid({.k = k,
                       .v = v,
                       .similarity_thresholds = params_.similarity_thresholds,
                       .part = split.before,
                       .pyramid = b.pyramid});
  const TensorView kept = slot.nominal_density ? slot.nominal_density.view() : TensorView();
  if (!selection.reuse) select(ops, q, k, scale, selection, slot, kept ? kept : density.nominal);
  if (kept && density.nominal && !ops.context().workspace().counts_only())
    ops.copy(kept, density.nominal);
  // each query block attends to its key blocks, each at its level
  ops.sparse_attention({.q = q,
                        .k = k,
                        .v = v,
                        .pyramid = b.pyramid,
                        .pending = split.within,
                        .levels = slot.levels,
                        .order = order_of(slot, selection),
                        .scale = scale,
                        .query_block = params_.query_block,
                        .out = out,
                        .lse = lse,
                        .executed_density = density.executed});
}

}  // namespace psagen::kernels
