#include "engine/inspect/attention_comparison.h"

#include <cmath>

#include "kernels/psa/pyramid_sparse_attention.h"

namespace psagen::engine {
namespace {

// A tensor's elements as T in host memory; waits for a GPU.
template <typename T>
std::vector<T> fetch(kernels::Ops& ops, ConstTensorView x) {
  std::vector<T> values(static_cast<std::size_t>(x.num_elements()));
  ops.copy(x, TensorView(reinterpret_cast<std::byte*>(values.data()), dtype_of<T>::value, x.shape(),
                         Device{}));
  return values;
}

std::vector<double> fetch_by_head(kernels::Ops& ops, ConstTensorView x) {
  const std::vector<float> values = fetch<float>(ops, x);
  return {values.begin(), values.end()};
}

// out and dense: [L, heads, depth].
void measure_error(const std::vector<float>& out, const std::vector<float>& dense,
                   std::int64_t num_heads, std::int64_t depth, SparseAttentionResult& result) {
  const std::size_t heads = static_cast<std::size_t>(num_heads);
  std::vector<double> difference(heads, 0.0), norm(heads, 0.0);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::size_t head = i / static_cast<std::size_t>(depth) % heads;
    const double d = static_cast<double>(out[i]) - static_cast<double>(dense[i]);
    difference[head] += d * d;
    norm[head] += static_cast<double>(dense[i]) * static_cast<double>(dense[i]);
  }
  double all_difference = 0.0, all_norm = 0.0;
  for (std::size_t head = 0; head < heads; ++head) {
    result.head_error.push_back(std::sqrt(difference[head] / norm[head]));
    all_difference += difference[head];
    all_norm += norm[head];
  }
  result.layer_error = std::sqrt(all_difference / all_norm);
}

}  // namespace

std::vector<float> dense_attention(kernels::Ops& ops, const AttentionInputs& inputs) {
  Tensor out(ops.context().allocator(), inputs.v.dtype(), inputs.v.shape());
  ops.attention({.q = inputs.q, .k = inputs.k, .v = inputs.v, .scale = inputs.scale, .out = out});
  return fetch<float>(ops, out);
}

SparseAttentionResult compare_sparse_attention(kernels::Ops& ops, const AttentionInputs& inputs,
                                               const AttentionConfig& config,
                                               const AttentionChoice& choice,
                                               const std::vector<float>& dense) {
  Allocator& allocator = ops.context().allocator();
  const Shape& shape = inputs.q.shape();
  // Made anew each time: the pyramids of many configurations at once would fill the memory.
  kernels::PyramidSparseAttention attention(ops, shape[0], shape[1], shape[2], shape[3],
                                            config.psa);
  Tensor out(allocator, inputs.v.dtype(), shape);
  Tensor nominal(allocator, DType::kF32, {shape[0], shape[2]});
  Tensor executed(allocator, DType::kF32, {shape[0], shape[2]});
  // An override may leave a layer dense: every block in full.
  const std::vector<kernels::LevelBounds> full(static_cast<std::size_t>(shape[2]),
                                               {1.0, 1.0, 1.0, 1.0});
  const std::span<const kernels::LevelBounds> head_bounds =
      choice.kind == AttentionKind::kDense ? full : choice.head_bounds;
  attention.forward(ops, inputs.q, inputs.k, inputs.v, inputs.scale,
                    {.seed = choice.seed, .head_bounds = head_bounds}, out, {},
                    {.nominal = nominal, .executed = executed});
  SparseAttentionResult result;
  result.nominal_density = fetch_by_head(ops, nominal);
  result.executed_density = fetch_by_head(ops, executed);
  result.levels = fetch<std::uint8_t>(ops, attention.levels());
  result.query_blocks = attention.levels().dim(2);
  result.key_blocks = attention.levels().dim(3);
  measure_error(fetch<float>(ops, out), dense, shape[2], shape[3], result);
  return result;
}

}  // namespace psagen::engine
