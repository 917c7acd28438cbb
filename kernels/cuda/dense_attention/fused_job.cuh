// Which queries a block of threads takes.
#pragma once

#include "kernels/cuda/dense_attention/fused_attention.h"

namespace psagen::kernels::cuda {

// A block of queries of one head.
struct FusedJob {
  int batch, head, query;  // the first query

  __device__ FusedJob(const FusedProblem& problem, int job) {
    const int row = job / problem.query_blocks;
    query = (job - row * problem.query_blocks) * kFusedQueries;
    batch = row / problem.heads;
    head = row - batch * problem.heads;
  }
};

}  // namespace psagen::kernels::cuda
