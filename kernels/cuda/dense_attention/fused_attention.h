// What the two fused kernels have in common: which calls they take, and a call as numbers. Neither
// writes scores to memory: a block of 128 queries goes through all keys tile by tile.
#pragma once

#include <cstdint>

#include "kernels/core/allocator.h"
#include "kernels/cuda/runtime.h"
#include "kernels/ops.h"

namespace psagen::kernels::cuda {

inline constexpr int kFusedQueries = 128;

// Whether the fused kernels take a call: BF16 or F16 throughout, or F16 for q and k and BF16 for v
// and out; head dimension 64 or 128, no full bias, a positive scale, every row of q, k, v and out
// on 16 bytes.
bool fused_attention_takes(const AttentionArgs& args);

void hopper_attention(CudaRuntime& runtime, Workspace& workspace, const AttentionArgs& args);
void portable_attention(CudaRuntime& runtime, const AttentionArgs& args);

// What the kernels know of a call beside q, k, v and out. Jobs are blocks of queries, those of one
// head side by side, so that what runs at the same time reads the same keys.
struct FusedProblem {
  const float* log_weight = nullptr;
  std::int64_t log_weight_stride = 0;  // of a batch
  float* lse = nullptr;
  std::int64_t lse_batch_stride = 0, lse_head_stride = 0, lse_query_stride = 0;
  int queries = 0, keys = 0, heads = 0;
  int query_blocks = 0;     // of one head
  int jobs = 0;             // query blocks of all heads and batches
  float scale_log2 = 0.0f;  // scores in powers of two
};

FusedProblem fused_problem(const AttentionArgs& args);

}  // namespace psagen::kernels::cuda
