#include "engine/inspect/attention_mass.h"

#include <algorithm>

namespace psagen::engine {
namespace {

std::int64_t blocks_of(std::int64_t tokens, int block) { return (tokens + block - 1) / block; }

ConstTensorView host_view(const std::vector<float>& values, const Shape& shape) {
  return {reinterpret_cast<const std::byte*>(values.data()), DType::kF32, shape, Device{}};
}

}  // namespace

// Attention to values that say which block a key is in is the mass of each block: value channel d
// of a key is 1 where the key belongs to block first + d, else 0.
std::vector<double> attention_mass(kernels::Ops& ops, const AttentionInputs& inputs,
                                   std::int64_t head, int query_block, int key_block) {
  const std::int64_t tokens = inputs.q.dim(1), channels = inputs.q.dim(3);
  const std::int64_t query_blocks = blocks_of(tokens, query_block);
  const std::int64_t key_blocks = blocks_of(tokens, key_block);
  const Shape shape = {1, tokens, 1, channels};
  Allocator& allocator = ops.context().allocator();
  Tensor membership(allocator, inputs.v.dtype(), shape);
  Tensor row_mass(allocator, inputs.v.dtype(), shape);
  std::vector<float> values(static_cast<std::size_t>(shape.num_elements()));
  std::vector<double> mass(static_cast<std::size_t>(query_blocks * key_blocks), 0.0);
  for (std::int64_t first = 0; first < key_blocks; first += channels) {
    const std::int64_t count = std::min(channels, key_blocks - first);
    std::fill(values.begin(), values.end(), 0.0f);
    for (std::int64_t token = first * key_block;
         token < std::min(tokens, (first + count) * key_block); ++token)
      values[static_cast<std::size_t>(token * channels + token / key_block - first)] = 1.0f;
    ops.copy(host_view(values, shape), membership);
    ops.attention({.q = inputs.q.slice(2, head, head + 1),
                   .k = inputs.k.slice(2, head, head + 1),
                   .v = membership,
                   .scale = inputs.scale,
                   .out = row_mass});
    ops.copy(row_mass,
             TensorView(reinterpret_cast<std::byte*>(values.data()), DType::kF32, shape, Device{}));
    for (std::int64_t token = 0; token < tokens; ++token)
      for (std::int64_t d = 0; d < count; ++d)
        mass[static_cast<std::size_t>(token / query_block * key_blocks + first + d)] +=
            values[static_cast<std::size_t>(token * channels + d)];
  }
  double total = 0.0;  // of all rows' roundings
  for (const double share : mass) total += share;
  for (double& share : mass) share /= total;
  return mass;
}

}  // namespace psagen::engine
