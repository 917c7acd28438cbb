// Sparse attention against dense attention of the same queries, keys and values.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/config/attention_config.h"
#include "engine/dit/attention_policy.h"
#include "engine/dit/attention_probe.h"
#include "kernels/ops.h"

namespace psagen::engine {

// [L, N, D] in host memory.
std::vector<float> dense_attention(kernels::Ops& ops, const AttentionInputs& inputs);

struct SparseAttentionResult {
  // By head.
  std::vector<double> nominal_density, executed_density;
  // ||o - o_dense|| / ||o_dense|| (Frobenius, summed in double): of each head, of all together.
  std::vector<double> head_error;
  double layer_error = 0.0;
  // [N, query blocks, key blocks] in {0, 1, 2, 4, 8}.
  std::vector<std::uint8_t> levels;
  std::int64_t query_blocks = 0;
  std::int64_t key_blocks = 0;
};

// `config` is a sparse one and `choice` what it makes of the place; `dense` as above. Outputs are
// compared as the device gives them: in bfloat16 two of them are apart by about 0.002 from rounding
// alone.
SparseAttentionResult compare_sparse_attention(kernels::Ops& ops, const AttentionInputs& inputs,
                                               const AttentionConfig& config,
                                               const AttentionChoice& choice,
                                               const std::vector<float>& dense);

}  // namespace psagen::engine
