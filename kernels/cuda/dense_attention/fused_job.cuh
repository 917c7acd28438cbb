// Which types a fused call has, and which queries a block of threads takes.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels/cuda/dense_attention/fused_attention.h"

namespace psagen::kernels::cuda {

// work(S{}, T{}): the types of queries and keys, and of values and results.
template <typename Work>
void for_fused_types(const AttentionArgs& args, const Work& work) {
  if (args.q.dtype() == DType::kBF16) return work(__nv_bfloat16{}, __nv_bfloat16{});
  if (args.v.dtype() == DType::kF16) return work(__half{}, __half{});
  work(__half{}, __nv_bfloat16{});
}

// A block of queries of one head.
struct FusedJob {
  int batch, head, query;  // the first query

  FusedJob() = default;
  __device__ FusedJob(const FusedProblem& problem, int job) {
    const int row = job / problem.query_blocks;
    query = (job - row * problem.query_blocks) * kFusedQueries;
    batch = row / problem.heads;
    head = row - batch * problem.heads;
  }
};

}  // namespace psagen::kernels::cuda
