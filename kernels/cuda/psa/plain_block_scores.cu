// Scores by plain multiply-adds in float32: pooled ones for float32 and for head dimensions that
// the matrix units do not take, and the official estimator's sampled ones. For comparison, not for
// speed: keys and queries are read row by row from shared memory, and the sampled scores are
// computed twice, for each query's best anywhere and then for what each key block has less.
//
// A block of threads has one query block of one head and passes over the key blocks. Sixteen
// threads share up to sixteen queries' rows; thread (y, x) has queries y, y + 16, ... and keys
// x, x + 16, ...
#include "kernels/core/philox.h"
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/device/numeric.cuh"
#include "kernels/cuda/device/online_softmax.cuh"
#include "kernels/cuda/psa/block_scores.h"
#include "kernels/psa/sampling.h"

namespace psagen::kernels::cuda {
namespace {

constexpr int kSide = 16;
constexpr int kThreads = kSide * kSide;
constexpr int kMostQueries = 64;  // a quarter of 256
constexpr int kMostKeys = 32;     // a quarter of 128
constexpr int kMostPositions = 256;

struct PlainParams {
  HeadRows q, k;                 // sampled
  const float* means = nullptr;  // pooled: [heads, query blocks, slots, depth]
  ScoredKeys coarse;             // pooled
  SelectionShape shape;
  int slots;
  int queries, keys;  // of a block
  int first_head;
  PhiloxKey random;
  float scale_log2 = 1.0f;  // pooled queries have it already
  float* scores;            // [heads, query blocks, slots, key blocks]; sampled: one slot
};

// kernels/psa/sampling.h: the quarter of the positions with the largest draws, ascending.
__device__ inline void draw_positions(PhiloxKey random, SampledSide side, int head, int block,
                                      std::uint32_t* draws, std::int32_t* positions) {
  const int i = static_cast<int>(threadIdx.x);
  if (i < block)
    draws[i] = philox4x32({static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(side),
                           static_cast<std::uint32_t>(head), 0},
                          random)[0];
  __syncthreads();
  bool chosen = false;
  if (i < block) {
    int larger = 0;
    for (int j = 0; j < block; ++j)
      larger += draws[j] > draws[i] || (draws[j] == draws[i] && j < i) ? 1 : 0;
    chosen = larger < block / 4;
  }
  __syncthreads();
  if (i < block) draws[i] = chosen ? 1u : 0u;
  __syncthreads();
  if (chosen) {
    int at = 0;
    for (int j = 0; j < i; ++j) at += static_cast<int>(draws[j]);
    positions[at] = i;
  }
  __syncthreads();
}

struct Memory {
  float* queries;  // [queries][depth + 1]: neighbours read rows, each from a bank of its own
  float* keys;     // [keys][depth + 1]
  float* best;     // [queries], then [kSide] partial maxima
};

// Scores of the thread's queries and the block's keys, reduced over the keys to one number a query,
// which all kSide threads of a query get.
template <bool kSampled>
__device__ inline void reduce_key_block(const PlainParams& p, const Memory& memory, int key_block,
                                        float (&reduced)[kMostQueries / kSide]) {
  const int x = static_cast<int>(threadIdx.x) % kSide, y = static_cast<int>(threadIdx.x) / kSide;
  const int pitch = p.shape.depth + 1;
  for (int i = 0; i < kMostQueries / kSide; ++i) {
    const int query = y + i * kSide;
    float scores[kMostKeys / kSide];
    float max = minus_infinity();
    for (int j = 0; j < kMostKeys / kSide; ++j) {
      const int key = x + j * kSide;
      scores[j] = minus_infinity();
      if (query >= p.queries || key >= p.keys) continue;
      float sum = 0.0f;
      for (int d = 0; d < p.shape.depth; ++d)
        sum = fmaf(memory.queries[query * pitch + d], memory.keys[key * pitch + d], sum);
      scores[j] = sum * p.scale_log2;
      if constexpr (!kSampled)
        scores[j] += p.coarse.log2_weight[static_cast<std::int64_t>(key_block) * p.keys + key];
      max = fmaxf(max, scores[j]);
    }
    for (int step = 1; step < kSide; step *= 2)
      max = fmaxf(max, __shfl_xor_sync(0xffffffffu, max, step));
    reduced[i] = max;
    if constexpr (!kSampled) {
      float sum = 0.0f;
      const float finite = max == minus_infinity() ? 0.0f : max;
      for (int j = 0; j < kMostKeys / kSide; ++j) sum += exp2f(scores[j] - finite);
      for (int step = 1; step < kSide; step *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
      reduced[i] = max + log2f(sum);
    }
  }
}

template <typename T>
__device__ inline void load_sampled_keys(const PlainParams& p, int batch, int head, int key_block,
                                         const std::int32_t* positions, float* keys) {
  const std::int64_t first = static_cast<std::int64_t>(key_block) * p.shape.key_block;
  for (int i = static_cast<int>(threadIdx.x); i < p.keys * p.shape.depth; i += kThreads) {
    const int row = i / p.shape.depth, d = i % p.shape.depth;
    std::int64_t token = first + positions[row];
    if (token >= p.shape.tokens) token = p.shape.tokens - 1;  // stands for what is not there
    keys[row * (p.shape.depth + 1) + d] =
        widen(static_cast<const T*>(p.k.data)[p.k.offset(batch, token, head) + d]);
  }
}

template <typename T>
__device__ inline void load_scored_keys(const PlainParams& p, int head_index, int key_block,
                                        float* keys) {
  const T* const rows = static_cast<const T*>(p.coarse.keys) + head_index * p.coarse.head_stride;
  for (int i = static_cast<int>(threadIdx.x); i < p.keys * p.shape.depth; i += kThreads) {
    const int row = i / p.shape.depth, d = i % p.shape.depth;
    const std::int64_t from = p.coarse.pyramid_row(key_block * p.keys + row, head_index);
    keys[row * (p.shape.depth + 1) + d] = widen(rows[from * p.shape.depth + d]);
  }
}

// All threads get the maximum over all queries; `partial` holds kSide numbers.
__device__ inline float max_over_queries(float value, float* partial) {
  if (threadIdx.x % kSide == 0) partial[threadIdx.x / kSide] = value;
  __syncthreads();
  float max = partial[0];
  for (int i = 1; i < kSide; ++i) max = fmaxf(max, partial[i]);
  __syncthreads();
  return max;
}

template <typename T>
__global__ void __launch_bounds__(kThreads) plain_pooled_kernel(const PlainParams p) {
  extern __shared__ float shared[];
  const int pitch = p.shape.depth + 1;
  const Memory memory{shared, shared + p.queries * pitch, nullptr};
  const int block = static_cast<int>(blockIdx.x),
            head = p.first_head + static_cast<int>(blockIdx.y);
  const int row = head * p.shape.query_blocks + block;
  const float* const means = p.means + static_cast<std::int64_t>(row) * p.slots * p.shape.depth;
  for (int i = static_cast<int>(threadIdx.x); i < p.queries * p.shape.depth; i += kThreads)
    memory.queries[i / p.shape.depth * pitch + i % p.shape.depth] = means[i];
  const int count = p.shape.means_of(block);
  for (int key_block = 0; key_block < p.shape.key_blocks; ++key_block) {
    load_scored_keys<T>(p, head, key_block, memory.keys);
    __syncthreads();
    float reduced[kMostQueries / kSide];
    reduce_key_block<false>(p, memory, key_block, reduced);
    for (int i = 0; i < kMostQueries / kSide; ++i) {
      const int mean = static_cast<int>(threadIdx.x) / kSide + i * kSide;
      if (threadIdx.x % kSide != 0 || mean >= count) continue;
      p.scores[((static_cast<std::int64_t>(blockIdx.y) * p.shape.query_blocks + block) * p.slots +
                mean) *
                   p.shape.key_blocks +
               key_block] = reduced[i];
    }
    __syncthreads();
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads) sampled_kernel(const PlainParams p) {
  extern __shared__ float shared[];
  __shared__ std::uint32_t draws[kMostPositions];
  __shared__ std::int32_t query_positions[kMostPositions / 4], key_positions[kMostPositions / 4];
  __shared__ float partial[kSide];
  const int pitch = p.shape.depth + 1;
  const Memory memory{shared, shared + p.queries * pitch, nullptr};
  const int block = static_cast<int>(blockIdx.x);
  const int all_head = p.first_head + static_cast<int>(blockIdx.y);
  const int batch = all_head / p.shape.heads, head = all_head % p.shape.heads;
  draw_positions(p.random, SampledSide::kQuery, all_head, p.shape.query_block, draws,
                 query_positions);
  draw_positions(p.random, SampledSide::kKey, all_head, p.shape.key_block, draws, key_positions);
  const std::int64_t first = static_cast<std::int64_t>(block) * p.shape.query_block;
  for (int i = static_cast<int>(threadIdx.x); i < p.queries * p.shape.depth; i += kThreads) {
    const int row = i / p.shape.depth, d = i % p.shape.depth;
    std::int64_t token = first + query_positions[row];
    if (token >= p.shape.tokens) token = p.shape.tokens - 1;
    memory.queries[row * pitch + d] =
        widen(static_cast<const T*>(p.q.data)[p.q.offset(batch, token, head) + d]);
  }
  float best[kMostQueries / kSide];
  for (float& value : best) value = minus_infinity();
  for (int pass = 0; pass < 2; ++pass)
    for (int key_block = 0; key_block < p.shape.key_blocks; ++key_block) {
      load_sampled_keys<T>(p, batch, head, key_block, key_positions, memory.keys);
      __syncthreads();
      float reduced[kMostQueries / kSide];
      reduce_key_block<true>(p, memory, key_block, reduced);
      float nearest = minus_infinity();
      for (int i = 0; i < kMostQueries / kSide; ++i) {
        const int query = static_cast<int>(threadIdx.x) / kSide + i * kSide;
        if (pass == 0)
          best[i] = fmaxf(best[i], reduced[i]);
        else if (query < p.queries)
          nearest = fmaxf(nearest, reduced[i] - best[i]);
      }
      nearest = max_over_queries(nearest, partial);  // its barriers end the reading of the keys
      if (pass == 1 && threadIdx.x == 0)
        p.scores[(static_cast<std::int64_t>(blockIdx.y) * p.shape.query_blocks + block) *
                     p.shape.key_blocks +
                 key_block] = nearest;
    }
}

template <typename Kernel>
void launch(CudaRuntime& runtime, Kernel kernel, const PlainParams& p, int heads) {
  const int bytes = (p.queries + p.keys) * (p.shape.depth + 1) * static_cast<int>(sizeof(float));
  PSAGEN_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
  const dim3 grid(static_cast<unsigned>(p.shape.query_blocks), static_cast<unsigned>(heads));
  kernel<<<grid, kThreads, static_cast<std::size_t>(bytes), runtime.stream()>>>(p);
  PSAGEN_CUDA(cudaGetLastError());
}

PlainParams params_of(const SelectionShape& shape, const ScoreRows& out) {
  PlainParams p{};
  p.shape = shape;
  p.first_head = out.first_head;
  p.scores = out.scores;
  return p;
}

}  // namespace

void plain_pooled_scores(CudaRuntime& runtime, const SelectionShape& shape,
                         const PooledQueries& queries, const ScoredKeys& keys,
                         const ScoreRows& out) {
  PlainParams p = params_of(shape, out);
  p.means = static_cast<const float*>(queries.means);
  p.coarse = keys;
  p.slots = queries.slots;
  p.queries = queries.slots;
  p.keys = shape.key_block / 8;
  with_real_type(keys.dtype, [&](auto type) {
    launch(runtime, plain_pooled_kernel<decltype(type)>, p, out.heads);
  });
}

void sampled_scores(CudaRuntime& runtime, const SelectionShape& shape, const ConstTensorView& q,
                    const ConstTensorView& k, std::uint64_t seed, double scale,
                    const ScoreRows& out) {
  PlainParams p = params_of(shape, out);
  p.scale_log2 = static_cast<float>(scale * 1.4426950408889634);
  p.q = head_rows("select_blocks", "q", q);
  p.k = head_rows("select_blocks", "k", k);
  p.queries = shape.query_block / 4;
  p.keys = shape.key_block / 4;
  p.random = philox_key(seed);
  with_real_type(q.dtype(),
                 [&](auto type) { launch(runtime, sampled_kernel<decltype(type)>, p, out.heads); });
}

}  // namespace psagen::kernels::cuda
