#include "engine/inspect/attention_inspector.h"

#include <numeric>
#include <utility>

#include "engine/inspect/attention_comparison.h"
#include "engine/inspect/attention_mass.h"

namespace psagen::engine {
namespace {

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

HeadResult head_result(kernels::Ops& ops, const AttentionInputs& inputs, std::int64_t head,
                       const kernels::PsaParams& params, const SparseAttentionResult& sparse) {
  const std::size_t index = static_cast<std::size_t>(head);
  HeadResult result;
  result.nominal_density = sparse.nominal_density[index];
  result.executed_density = sparse.executed_density[index];
  result.relative_error = sparse.head_error[index];
  result.layer_error = sparse.layer_error;
  BlockMap& map = result.map;
  map.query_block = params.query_block;
  map.key_block = params.key_block;
  map.query_blocks = sparse.query_blocks;
  map.key_blocks = sparse.key_blocks;
  const std::int64_t pairs = map.query_blocks * map.key_blocks;
  map.levels.assign(sparse.levels.begin() + head * pairs,
                    sparse.levels.begin() + (head + 1) * pairs);
  map.mass = attention_mass(ops, inputs, head, map.query_block, map.key_block);
  return result;
}

// What a run with this attention would do there, were it not for its warm-up and for levels kept
// from other places.
AttentionChoice choose_afresh(AttentionConfig config, const StepPosition& position,
                              std::int64_t layer, std::int64_t num_heads) {
  config.warmup_steps = 0;
  config.reuse_steps = 1;
  config.reuse_across_guidance = false;
  return choose_attention(config, position, layer, num_heads);
}

}  // namespace

PlaceResult mean_of(const std::vector<PlaceResult>& places) {
  PlaceResult result;
  const double count = static_cast<double>(places.size());
  for (const PlaceResult& place : places) {
    result.nominal_density += place.nominal_density / count;
    result.executed_density += place.executed_density / count;
    result.relative_error += place.relative_error / count;
  }
  return result;
}

AttentionConfig trajectory_attention(const AttentionConfig& along,
                                     const std::vector<AttentionConfig>& tried) {
  const auto order_name = [](const AttentionConfig& config) {
    return config.reorder_tokens ? "the pyramid's order" : "raster order";
  };
  const AttentionConfig& first = along.kind == AttentionKind::kDense ? tried.front() : along;
  for (const AttentionConfig& config : tried) {
    PSAGEN_CHECK(config.kind != AttentionKind::kDense, ErrorCode::kInvalidArgument, "attention ",
                 config.spec, " is what others are compared with; wanted a sparse one");
    PSAGEN_CHECK(config.reorder_tokens == first.reorder_tokens, ErrorCode::kInvalidArgument,
                 "attention ", config.spec, " wants tokens in ", order_name(config), ", ",
                 first.spec, " in ", order_name(first), "; wanted the same, for one run");
  }
  AttentionConfig trajectory = first;
  if (along.kind != AttentionKind::kDense) return trajectory;
  trajectory.spec = along.spec;
  trajectory.name = along.name;
  trajectory.overrides.clear();
  trajectory.reuse_steps = 1;
  trajectory.reuse_across_guidance = false;
  trajectory.warmup_share = 1.0;
  trajectory.warmup_steps = -1;
  return trajectory;
}

AttentionInspector::AttentionInspector(const std::vector<AttentionConfig>& tried,
                                       InspectedPlaces places)
    : places_(std::move(places)) {
  for (const AttentionConfig& config : tried)
    results_.push_back({.config = config, .places = {}, .head = std::nullopt});
}

void AttentionInspector::begin_forward(const StepPosition& position, std::int64_t forward) {
  position_ = position;
  looks_ = forward == places_.forward;
}

void AttentionInspector::attended(kernels::Ops& ops, std::int64_t layer,
                                  const AttentionInputs& inputs) {
  const bool is_place = places_.steps.contains(position_.step) && places_.layers.contains(layer);
  const bool is_head =
      places_.head && places_.head->step == position_.step && places_.head->layer == layer;
  if (!looks_ || (!is_place && !is_head)) return;
  const std::vector<float> dense = dense_attention(ops, inputs);
  for (InspectedAttention& result : results_) {
    const kernels::PsaParams& params = result.config.psa;
    const SparseAttentionResult sparse = compare_sparse_attention(
        ops, inputs, result.config, choose_afresh(result.config, position_, layer, inputs.q.dim(2)),
        dense);
    if (is_place)
      result.places.push_back({.step = position_.step,
                               .layer = layer,
                               .nominal_density = mean(sparse.nominal_density),
                               .executed_density = mean(sparse.executed_density),
                               .relative_error = sparse.layer_error});
    if (is_head) result.head = head_result(ops, inputs, places_.head->head, params, sparse);
  }
}

}  // namespace psagen::engine
