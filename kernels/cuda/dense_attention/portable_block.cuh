// The computing side of attention on any GPU from compute capability 8.0 on, after FlashAttention 2
// (arXiv 2307.08691). Which rows of keys and values the tiles are made of is the business of
// `Rows`: all of a head in dense attention (portable_kernel.cuh), what a list says in sparse
// attention
// (../psa/sparse_attention).
//
// A block of 4 warps takes 128 queries of a head, 32 a warp, which stay in shared memory; keys and
// values come tile by tile through one buffer each: values of a tile are copied while its scores
// are computed, keys of the next while its values are summed up. Two blocks share a multiprocessor,
// so that one's softmax runs beside the other's products. Probabilities stay in registers.
//
// Rows of shared memory are kHeadDim values; the 16-byte piece c of row r lies at piece c ^ (r %
// 8), so that the eight rows of a matrix load, and those a copy writes, meet all banks.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/dense_attention/fused_job.cuh"
#include "kernels/cuda/device/async_copy.cuh"
#include "kernels/cuda/device/keep.cuh"
#include "kernels/cuda/device/mma.cuh"
#include "kernels/cuda/device/online_softmax.cuh"

namespace psagen::kernels::cuda {

// S is the type of queries and keys, T that of values and results.
template <typename S, typename T, int kHeadDimension, int kTileKeys>
struct PortableTraits {
  using ScoreElement = S;
  using Element = T;
  static constexpr int kHeadDim = kHeadDimension;

  // FlashAttention 2's tiles: 64 keys, or 128 at head dimension 64. Registers a thread: sums 2 x
  // kHeadDim / 2 and scores 2 x kKeys / 2, so 192 of 255 either way; 64 or 48 KB of shared memory.
  // 8 warps of 16 queries would read keys and values from shared memory twice as often.
  static constexpr int kQueries = kFusedQueries;
  static constexpr int kKeys = kTileKeys;
  static constexpr int kWarps = 4;
  static constexpr int kThreads = 32 * kWarps;
  static constexpr int kRowTiles = 2;        // of 16 queries, per warp
  static constexpr int kScores = kKeys / 2;  // a thread's, of a row tile
  static constexpr int kSums = kHeadDim / 2;

  static constexpr int kPieces = kHeadDim / 8;  // 16 bytes each, of a row
  static constexpr int kRowBytes = kHeadDim * 2;
  static constexpr int kSharedBytes = (kQueries + 2 * kKeys) * kRowBytes;
  static_assert(kSharedBytes <= 99 * 1024,
                "what a block may have on compute capability 8.6 and 8.9");
};

// Where [B, L, N, D] has an element; in elements, D is unit-stride.
struct HeadStrides {
  std::int64_t batch = 0, row = 0, head = 0;
};

template <typename Value>
__device__ inline Value* head_of(Value* data, const HeadStrides& strides, const FusedJob& job) {
  return data + job.batch * strides.batch + job.head * strides.head;
}

// A thread's part in copying rows of a head: every kRowsOfPass-th row, 16 bytes of it.
template <typename Traits, typename Element>
struct RowCopier {
  static constexpr int kRowsOfPass = Traits::kThreads / Traits::kPieces;
  static_assert(kRowsOfPass % 8 == 0);

  const Element* from;  // moves on with the rows copied
  std::int64_t step;
  std::uint32_t to;
  int row;

  __device__ RowCopier(const Element* head, std::int64_t stride, std::uint32_t shared)
      : step(kRowsOfPass * stride), row(static_cast<int>(threadIdx.x) / Traits::kPieces) {
    const int piece = static_cast<int>(threadIdx.x) % Traits::kPieces;
    from = head + row * stride + piece * 8;
    to = shared + row * Traits::kRowBytes + (piece ^ (row % 8)) * 16;
  }

  // Queues the next kRows rows, of which `left` exist and the others become zeros.
  template <int kRows>
  __device__ void copy(int left) {
    static_assert(kRows % kRowsOfPass == 0);
#pragma unroll
    for (int i = 0; i < kRows; i += kRowsOfPass) {
      copy_16_async(to + i * Traits::kRowBytes, from, row + i < left);
      from += step;
      keep(from);
    }
  }
};

// Rows has Params, with q, out, their strides and `problem`, and for a block of threads:
//   has(ahead)      whether there is the tile it stands at, or the next one; advance()
//   copy_keys(ahead), copy_values()  of the tile it stands at, or the next one: begins the copies
//   prepare()       while scores are computed: nobody reads tables of the tile before, and a
//   barrier
//                   of the block follows
//   exponentiate()  scores -> powers of two, at most 1, of all row tiles
template <typename Traits, typename Rows>
struct PortableAttention {
  using ScoreElement = typename Traits::ScoreElement;
  using Element = typename Traits::Element;
  static constexpr int kKeys = Traits::kKeys;
  static constexpr int kRowTiles = Traits::kRowTiles;

  // Bytes between what two steps of 16 rows read, and what the two by 16 columns differ in: pieces
  // 2 i and 2 i + 1 of a row lie where pieces 0 and 1 do, but for these bits.
  static constexpr int kRowStep = 16 * Traits::kRowBytes;
  static constexpr int kColumnStep = 32;

  const typename Rows::Params& params;
  int lane;
  std::uint32_t own_queries;  // the warp's rows in shared memory
  // Where this lane's rows of the matrices it loads begin.
  std::uint32_t query_matrix, key_matrix, value_matrix;
  float scores[kRowTiles][Traits::kScores];
  float sums[kRowTiles][Traits::kSums];
  std::uint32_t probabilities[kRowTiles][Traits::kScores / 2];
  OnlineSoftmax softmax[kRowTiles];

  static __device__ std::uint32_t keys_of(std::uint32_t shared) {
    return shared + Traits::kQueries * Traits::kRowBytes;
  }
  static __device__ std::uint32_t values_of(std::uint32_t shared) {
    return keys_of(shared) + kKeys * Traits::kRowBytes;
  }

  // Matrices of a load_matrices(): of queries, rows 0-7 and 8-15 of the first eight columns, then
  // of the second; of keys, the first eight columns and the second of rows 0-7, then of rows 8-15;
  // of values, which are transposed on the way, as of queries.
  __device__ PortableAttention(const typename Rows::Params& params, std::uint32_t shared)
      : params(params), lane(static_cast<int>(threadIdx.x) % 32) {
    const int warp = static_cast<int>(threadIdx.x) / 32;
    const int row = lane % 16, key = lane % 8 + lane / 16 * 8;
    const int piece = lane / 16, key_piece = lane / 8 % 2;
    own_queries = shared + warp * kRowTiles * kRowStep;
    query_matrix = own_queries + row * Traits::kRowBytes + (piece ^ (row % 8)) * 16;
    key_matrix = keys_of(shared) + key * Traits::kRowBytes + (key_piece ^ (key % 8)) * 16;
    value_matrix = values_of(shared) + row * Traits::kRowBytes + (piece ^ (row % 8)) * 16;
  }

  // a [16, 16] of each row tile.
  __device__ void load_queries(std::uint32_t (&to)[kRowTiles][4], int step) const {
#pragma unroll
    for (int tile = 0; tile < kRowTiles; ++tile)
      load_matrices(to[tile], (query_matrix ^ (step * kColumnStep)) + tile * kRowStep);
  }

  // b [16, 8] twice: 16 columns of 16 keys; 16 keys of 16 columns.
  __device__ void load_keys(std::uint32_t (&to)[4], int step, int pair) const {
    load_matrices(to, (key_matrix ^ (step * kColumnStep)) + pair * kRowStep);
  }
  __device__ void load_values(std::uint32_t (&to)[4], int step, int pair) const {
    load_matrices_transposed(to, (value_matrix ^ (pair * kColumnStep)) + step * kRowStep);
  }

  // scores = q k'. Fragments are loaded one product ahead.
  __device__ void compute_scores() {
    constexpr int kSteps = Traits::kHeadDim / 16, kPairs = kKeys / 16;
    std::uint32_t a[2][kRowTiles][4], b[2][4];
    keep(query_matrix);
    keep(key_matrix);
#pragma unroll
    for (int tile = 0; tile < kRowTiles; ++tile)
#pragma unroll
      for (int i = 0; i < Traits::kScores; ++i) scores[tile][i] = 0.0f;
    load_queries(a[0], 0);
    load_keys(b[0], 0, 0);
#pragma unroll
    for (int i = 0; i < kSteps * kPairs; ++i) {
      const int step = i / kPairs, pair = i % kPairs;
      if (pair == 0 && step + 1 < kSteps) load_queries(a[(step + 1) % 2], step + 1);
      if (i + 1 < kSteps * kPairs) load_keys(b[(i + 1) % 2], (i + 1) / kPairs, (i + 1) % kPairs);
#pragma unroll
      for (int tile = 0; tile < kRowTiles; ++tile) {
        float* const c = scores[tile] + 8 * pair;
        multiply_add<ScoreElement>(c, a[step % 2][tile], b[i % 2][0], b[i % 2][1]);
        multiply_add<ScoreElement>(c + 4, a[step % 2][tile], b[i % 2][2], b[i % 2][3]);
      }
    }
  }

  // sums += probabilities v
  __device__ void sum_values() {
    constexpr int kSteps = kKeys / 16, kPairs = Traits::kHeadDim / 16;
    std::uint32_t b[2][4];
    keep(value_matrix);
    load_values(b[0], 0, 0);
#pragma unroll
    for (int i = 0; i < kSteps * kPairs; ++i) {
      const int step = i / kPairs, pair = i % kPairs;
      if (i + 1 < kSteps * kPairs) load_values(b[(i + 1) % 2], (i + 1) / kPairs, (i + 1) % kPairs);
#pragma unroll
      for (int tile = 0; tile < kRowTiles; ++tile) {
        float* const c = sums[tile] + 8 * pair;
        const std::uint32_t* const a = probabilities[tile] + 4 * step;
        multiply_add<Element>(c, a, b[i % 2][0], b[i % 2][1]);
        multiply_add<Element>(c + 4, a, b[i % 2][2], b[i % 2][3]);
      }
    }
  }

  // scores -> probabilities up to the row's sum.
  __device__ void exponentiate(Rows& rows) {
    float rescale[kRowTiles][2];
    rows.exponentiate(scores, softmax, rescale);
#pragma unroll
    for (int row_tile = 0; row_tile < kRowTiles; ++row_tile)
#pragma unroll
      for (int i = 0; i < Traits::kScores / 2; ++i)
        probabilities[row_tile][i] =
            pack_pair<Element>(scores[row_tile][2 * i], scores[row_tile][2 * i + 1]);
    // After a few tiles the maxima of a warp's rows seldom change.
    bool changed = false;
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i)
      changed = changed || rescale[i][0] != 1.0f || rescale[i][1] != 1.0f;
    if (!__any_sync(0xffffffffu, changed)) return;
#pragma unroll
    for (int row_tile = 0; row_tile < kRowTiles; ++row_tile)
#pragma unroll
      for (int i = 0; i < Traits::kSums; ++i) sums[row_tile][i] *= rescale[row_tile][i % 4 / 2];
  }

  // Through the warp's own queries in shared memory, so that whole rows are stored.
  __device__ void store_rows(Element* out, std::int64_t stride, int left) {
    const int row = lane / 4;
#pragma unroll
    for (int tile = 0; tile < kRowTiles; ++tile) {
      softmax[tile].finish();
      const float inverse[2] = {softmax[tile].inverse(0), softmax[tile].inverse(1)};
#pragma unroll
      for (int i = 0; i < Traits::kSums / 2; ++i) {
        const int piece = i / 2, half = i % 2;
        const std::uint32_t to = own_queries + (16 * tile + row + 8 * half) * Traits::kRowBytes +
                                 (piece ^ row) * 16 + lane % 4 * 4;
        store_shared(to, pack_pair<Element>(sums[tile][2 * i] * inverse[half],
                                            sums[tile][2 * i + 1] * inverse[half]));
      }
    }
    __syncwarp();
    constexpr int kRowsOfPass = 32 / Traits::kPieces;
    const int piece = lane % Traits::kPieces;
#pragma unroll
    for (int first = 0; first < 16 * kRowTiles; first += kRowsOfPass) {
      const int r = first + lane / Traits::kPieces;
      const uint4 pack = load_shared(own_queries + r * Traits::kRowBytes + (piece ^ (r % 8)) * 16);
      if (r < left) *reinterpret_cast<uint4*>(out + r * stride + piece * 8) = pack;
    }
  }

  __device__ void store_log_sum_exp(float* lse, std::int64_t stride, int left) const {
    if (lane % 4 != 0) return;
#pragma unroll
    for (int i = 0; i < 2 * kRowTiles; ++i) {
      const int row = lane / 4 + 8 * i;
      if (row < left) lse[row * stride] = softmax[i / 2].log_sum_exp(i % 2);
    }
  }

  __device__ void attend(const FusedJob& job, std::uint32_t shared) {
    const FusedProblem& problem = params.problem;
    Rows rows(params, job, keys_of(shared), values_of(shared));
#pragma unroll
    for (int tile = 0; tile < kRowTiles; ++tile) {
      softmax[tile].reset();
#pragma unroll
      for (int i = 0; i < Traits::kSums; ++i) sums[tile][i] = 0.0f;
    }
    if (!rows.has(0)) return;
    RowCopier<Traits, ScoreElement> queries(
        head_of(params.q, params.q_strides, job) + job.query * params.q_strides.row,
        params.q_strides.row, shared);
    queries.template copy<Traits::kQueries>(problem.queries - job.query);
    rows.copy_keys(0);
    commit_copies();
#pragma unroll 1
    for (; rows.has(0); rows.advance()) {
      wait_for_copies<0>();
      __syncthreads();  // keys are here, and nobody reads the last values any more
      rows.copy_values();
      commit_copies();
      compute_scores();
      rows.prepare();
      wait_for_copies<0>();
      __syncthreads();  // values are here, and nobody reads the keys any more
      if (rows.has(1)) {
        rows.copy_keys(1);
        commit_copies();
      }
      exponentiate(rows);
      sum_values();
    }
  }

  __device__ void store(const FusedJob& job) {
    const FusedProblem& problem = params.problem;
    const int first = job.query + static_cast<int>(threadIdx.x) / 32 * 16 * kRowTiles;
    const int left = problem.queries - first;
    store_rows(head_of(params.out, params.out_strides, job) + first * params.out_strides.row,
               params.out_strides.row, left);
    if (problem.lse != nullptr)
      store_log_sum_exp(problem.lse + job.batch * problem.lse_batch_stride +
                            job.head * problem.lse_head_stride + first * problem.lse_query_stride,
                        problem.lse_query_stride, left);
  }
};

template <typename Traits, typename Rows>
__global__ void __launch_bounds__(Traits::kThreads)
    portable_attention_kernel(const typename Rows::Params params) {
  extern __shared__ __align__(1024) std::byte portable_shared_memory[];
  const std::uint32_t shared = shared_address(portable_shared_memory);
  PortableAttention<Traits, Rows> attention(params, shared);
  int number = Rows::job_of_block(params);
  attention.attend(FusedJob(params.problem, number), shared);
  keep(number);  // the job is worked out again, not kept in registers
  attention.store(FusedJob(params.problem, number));
}

}  // namespace psagen::kernels::cuda
