// What the Hopper kernel is launched with for sparse attention.
#pragma once

#include <cuda.h>

#include "kernels/cuda/dense_attention/fused_attention.h"
#include "kernels/cuda/dense_attention/job_queue.h"
#include "kernels/cuda/psa/head_rows.h"
#include "kernels/cuda/psa/sparse_attention/packed_row.h"

namespace psagen::kernels::cuda {

// Rows of the pyramid that the kernel makes itself: of the values, or of keys and values.
struct PendingRows {
  HeadRows k, v;
  void *keys = nullptr, *values = nullptr;  // [B, N, rows, D]
  int begin[3] = {};                        // the first rows of levels 2, 4 and 8
  std::int64_t rows = 0;                    // of one head
  int tokens = 0, heads = 0, all_heads = 0;
  int chunk_tokens = 0;    // divides a key block
  int chunks_of_rows = 0;  // of the keys of a head, or of its values
  int chunks = 0;          // of a head: first its values', then its keys'; 0: nothing is pending

  // Zeros at the start.
  int* taken = nullptr;  // chunks of all heads that somebody works on, or has done
  int* done = nullptr;   // [B, N]: chunks of a head that are done

  constexpr int all_chunks() const { return chunks * all_heads; }
};

struct HopperSparseParams {
  CUtensorMap q, out;                  // [B, N, L, D]: boxes of 128 rows, of out 16
  CUtensorMap k[kLevels], v[kLevels];  // boxes of a key block's rows at each level
  FusedProblem problem;
  BlockLevels blocks;
  float inverse_scale_log2 = 1.0f;
  JobQueue queue;
  PendingRows pending;
};

}  // namespace psagen::kernels::cuda
