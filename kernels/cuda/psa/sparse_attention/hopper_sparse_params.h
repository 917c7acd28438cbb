// What the Hopper kernel is launched with for sparse attention.
#pragma once

#include <cuda.h>

#include "kernels/cuda/dense_attention/fused_attention.h"
#include "kernels/cuda/dense_attention/job_queue.h"
#include "kernels/cuda/psa/sparse_attention/packed_row.h"

namespace psagen::kernels::cuda {

struct HopperSparseParams {
  CUtensorMap q, out;                  // [B, N, L, D]: boxes of 128 rows, of out 16
  CUtensorMap k[kLevels], v[kLevels];  // boxes of a key block's rows at each level
  FusedProblem problem;
  BlockLevels blocks;
  float inverse_scale_log2 = 1.0f;
  JobQueue queue;
};

}  // namespace psagen::kernels::cuda
