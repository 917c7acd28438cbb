// rms_norm_rope (../rope.cu) that also pools its rows while they are in registers: keys to level 8
// of the pyramid, or to 2 and 4 as well, queries to means of 32 or every eighth of them (NormPool
// in kernels/psa/psa_args.h).
//
// A block of threads goes over 32 rows, four at a time, the next four on their way to shared
// memory; a thread has the same few chunks of four columns of each, so that pooling needs no
// exchange, and one barrier serves the row sums of four tokens. Sums are those of pyramid_pool.cu
// and pooled_queries.cu, bit for bit: of rounded rows, pair by pair and one query after the other.
// Bytes beside the norm's: 1/8 or 7/8 of y (keys), or 1/32 of it (queries).
#include "kernels/cuda/psa/norm_rope_pool.h"

#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/device/async_copy.cuh"
#include "kernels/cuda/device/numeric.cuh"
#include "kernels/cuda/device/row_launch.cuh"
#include "kernels/cuda/device/row_sums.cuh"
#include "kernels/cuda/psa/pooling.cuh"

namespace psagen::kernels::cuda {
namespace {

constexpr int kRows = kPooledQueries;  // of a block of threads; no key block is smaller
constexpr int kTokens = 4;             // at a time
constexpr int kColumns = 4;            // of a chunk
constexpr int kMaxThreads = 192, kChunks = 2;
constexpr int kMaxWarps = kMaxThreads / 32;
constexpr int kMostColumns = kMaxThreads * kChunks * kColumns;  // 1,536

struct NormRopePoolParams {
  const float* x;
  RowShape x_rows;
  ConstReals gamma;
  float inverse_width, eps;
  const float* rope_cos;  // [L, D / 2]
  const float* rope_sin;
  int rows, width, depth, heads;
  void* y;
  RowShape y_rows;
  std::int64_t first_token;
  int padded_rows;  // absent ones among them: whole blocks
  // Of keys.
  void* keys;  // [B, N, pyramid rows, D]; null: queries
  std::int64_t begin[3];
  std::int64_t pyramid_rows;
  float* log2_weight;  // [pyramid rows]
  bool coarsest_only;  // level 8
  // Of queries.
  void* means;  // [B, N, mean rows, D]
  std::int64_t mean_rows;
  float scale_log2;
  bool staggered;  // every eighth query instead of means
};

// The same columns of kTokens rows.
using Rows = float[kTokens][kChunks][kColumns];

// What is made of the rows besides.
enum class Pooling { kQueries, kKeys, kCoarsestKeys };

// Rows on their way, each chunk read by the thread that asked for it: no barrier is needed.
struct Stage {
  float4 rows[kTokens][kChunks][kMaxThreads];
};
constexpr int kStages = 2;

// Absent rows and chunks are zeros.
__device__ inline void start_rows(const NormRopePoolParams& p, int batch, int first, Stage& stage) {
#pragma unroll
  for (int t = 0; t < kTokens; ++t)
#pragma unroll
    for (int c = 0; c < kChunks; ++c) {
      const int column =
          (static_cast<int>(threadIdx.x) + c * static_cast<int>(blockDim.x)) * kColumns;
      const bool is_there = first + t < p.rows && column < p.width;
      copy_16_async(shared_address(&stage.rows[t][c][threadIdx.x]),
                    p.x + (is_there ? p.x_rows.offset(batch, first + t) + column : 0), is_there);
    }
}

__device__ inline void take_rows(const Stage& stage, Rows& rows) {
#pragma unroll
  for (int t = 0; t < kTokens; ++t)
#pragma unroll
    for (int c = 0; c < kChunks; ++c) {
      const float4 chunk = stage.rows[t][c][threadIdx.x];
      rows[t][c][0] = chunk.x;
      rows[t][c][1] = chunk.y;
      rows[t][c][2] = chunk.z;
      rows[t][c][3] = chunk.w;
    }
}

// Norm, rotation and the store of y; `rows` then hold what was stored, absent rows zeros.
template <typename T>
__device__ inline void turn_rows(const NormRopePoolParams& p, int batch, int first,
                                 const float (&gamma)[kChunks][kColumns],
                                 const float (&squares)[kTokens], Rows& rows) {
  const int stride = static_cast<int>(blockDim.x) * kColumns;
  const int own = static_cast<int>(threadIdx.x) * kColumns;
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
    if (first + t >= p.rows) continue;  // zeros from the load
    // Every thread works it out for itself; exact to two units in the last place of float32.
    const float factor = rsqrtf(fmaf(squares[t], p.inverse_width, p.eps));
    // All chunks of a thread turn alike: a head's width divides the distance between them.
    const std::int64_t angle =
        static_cast<std::int64_t>(first + t) * (p.depth / 2) + own % p.depth / 2;
    float cosine[2], sine[2];
    load_floats<2>(p.rope_cos + angle, cosine);
    load_floats<2>(p.rope_sin + angle, sine);
    T* const y = static_cast<T*>(p.y) + p.y_rows.offset(batch, first + t) + own;
#pragma unroll
    for (int c = 0; c < kChunks; ++c) {
      if (own + c * stride >= p.width) continue;
      Pack<T, kColumns> turned;
#pragma unroll
      for (int j = 0; j < kColumns; j += 2) {
        const float a = rows[t][c][j] * factor * gamma[c][j];
        const float b = rows[t][c][j + 1] * factor * gamma[c][j + 1];
        turned.values[j] = narrow<T>(a * cosine[j / 2] - b * sine[j / 2]);
        turned.values[j + 1] = narrow<T>(a * sine[j / 2] + b * cosine[j / 2]);
      }
      store_pack(turned, y + c * stride);
#pragma unroll
      for (int j = 0; j < kColumns; ++j) rows[t][c][j] = widen(turned.values[j]);
    }
  }
}

// Where a chunk of the thread belongs in [B, N, rows, D].
__device__ inline std::int64_t chunk_offset(const NormRopePoolParams& p, int batch, int chunk,
                                            std::int64_t rows) {
  const int column =
      (static_cast<int>(threadIdx.x) + chunk * static_cast<int>(blockDim.x)) * kColumns;
  return (static_cast<std::int64_t>(batch) * p.heads + column / p.depth) * rows * p.depth +
         column % p.depth;
}

__device__ inline bool has_chunk(const NormRopePoolParams& p, int chunk) {
  return (static_cast<int>(threadIdx.x) + chunk * static_cast<int>(blockDim.x)) * kColumns <
         p.width;
}

// Means of two and of four of the rows, unless level 8 is enough; their sum is added to `eight`.
template <typename T, bool kCoarsestOnly>
__device__ inline void pool_keys(const NormRopePoolParams& p, int batch, int first,
                                 const Rows& rows, float (&eight)[kChunks][kColumns]) {
  const int present = min(max(p.rows - first, 0), kTokens);
  const std::int64_t token = p.first_token + first;
  T* const keys = static_cast<T*>(p.keys);
#pragma unroll
  for (int c = 0; c < kChunks; ++c) {
    if (!has_chunk(p, c)) continue;
    T* const to = keys + chunk_offset(p, batch, c, p.pyramid_rows);
    float pairs[2][kColumns], four[kColumns];
#pragma unroll
    for (int u = 0; u < 2; ++u) {
#pragma unroll
      for (int i = 0; i < kColumns; ++i) pairs[u][i] = rows[2 * u][c][i] + rows[2 * u + 1][c][i];
      if (!kCoarsestOnly)
        write_mean(pairs[u], tokens_of_row(u, 2, present),
                   to + (p.begin[0] + token / 2 + u) * p.depth);
    }
#pragma unroll
    for (int i = 0; i < kColumns; ++i) four[i] = pairs[0][i] + pairs[1][i];
    if (!kCoarsestOnly) write_mean(four, present, to + (p.begin[1] + token / 4) * p.depth);
#pragma unroll
    for (int i = 0; i < kColumns; ++i) eight[c][i] += four[i];
  }
}

// Of four queries those that stand for their groups of eight.
template <typename T>
__device__ inline void pick_queries(const NormRopePoolParams& p, int batch, int first,
                                    const Rows& rows) {
  const int group = static_cast<int>(p.first_token + first) / kStaggeredQueries;
  const int wanted = staggered_query(group);
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
    const int last = p.rows - 1 - (first + t);  // the group may end with the last row
    const int own = (first + t) % kStaggeredQueries;
    if (last < 0 || !(own == wanted || (last == 0 && own < wanted))) continue;
#pragma unroll
    for (int c = 0; c < kChunks; ++c) {
      if (!has_chunk(p, c)) continue;
      float row[kColumns];
#pragma unroll
      for (int i = 0; i < kColumns; ++i) row[i] = rows[t][c][i] * p.scale_log2;
      store_floats<kColumns>(row, static_cast<T*>(p.means) +
                                      chunk_offset(p, batch, c, p.mean_rows) +
                                      static_cast<std::int64_t>(group) * p.depth);
    }
  }
}

// Rows [begin, end) of what stands for queries: zeros.
template <typename T>
__device__ inline void clear_queries(const NormRopePoolParams& p, int batch, std::int64_t begin,
                                     std::int64_t end) {
  const float zeros[kColumns] = {};
  for (std::int64_t row = begin; row < end; ++row)
#pragma unroll
    for (int c = 0; c < kChunks; ++c)
      if (has_chunk(p, c))
        store_floats<kColumns>(zeros, static_cast<T*>(p.means) +
                                          chunk_offset(p, batch, c, p.mean_rows) + row * p.depth);
}

// Of the rows made of eight tokens, a thread each: four of level 2, two of level 4 and one.
__device__ inline void write_weight(const NormRopePoolParams& p, std::int64_t token, int present) {
  const int own = static_cast<int>(threadIdx.x);
  if (own >= kGroup - 1) return;
  const int index = own < 4 ? 0 : own < 6 ? 1 : 2;
  const int row = own - (index == 0 ? 0 : index == 1 ? 4 : 6), level = 2 << index;
  p.log2_weight[p.begin[index] + token / level + row] =
      log2_weight_of(tokens_of_row(row, level, present));
}

// The mean of eight keys, whose sum is complete, and the weights of the rows made of them.
template <typename T>
__device__ inline void end_keys(const NormRopePoolParams& p, int batch, int first,
                                float (&eight)[kChunks][kColumns]) {
  const int present = min(max(p.rows - first, 0), kGroup);
  const std::int64_t token = p.first_token + first;
  if (batch == 0) write_weight(p, token, present);
#pragma unroll
  for (int c = 0; c < kChunks; ++c) {
    if (has_chunk(p, c))
      write_mean(eight[c], present,
                 static_cast<T*>(p.keys) + chunk_offset(p, batch, c, p.pyramid_rows) +
                     (p.begin[2] + token / kGroup) * p.depth);
#pragma unroll
    for (int i = 0; i < kColumns; ++i) eight[c][i] = 0.0f;
  }
}

template <typename T, Pooling kPooling>
__global__ void __launch_bounds__(kMaxThreads, 4)
    norm_rope_pool_kernel(const NormRopePoolParams p) {
  constexpr bool kKeys = kPooling != Pooling::kQueries;
  __shared__ __align__(16) float scratch[2][kMaxWarps][kTokens];
  extern __shared__ __align__(16) std::byte norm_rope_pool_memory[];
  Stage* const stages = reinterpret_cast<Stage*>(norm_rope_pool_memory);
  const int batch = static_cast<int>(blockIdx.y);
  const int block_first = static_cast<int>(blockIdx.x) * kRows;
  float sums[kChunks][kColumns] = {}, gamma[kChunks][kColumns] = {};
#pragma unroll
  for (int c = 0; c < kChunks; ++c)
    if (has_chunk(p, c))
      load_reals<kColumns>(
          p.gamma, (static_cast<int>(threadIdx.x) + c * static_cast<int>(blockDim.x)) * kColumns,
          gamma[c]);
  start_rows(p, batch, block_first, stages[0]);
  commit_copies();
#pragma unroll 1
  for (int step = 0; step < kRows / kTokens; ++step) {
    const int first = block_first + step * kTokens;
    if (step + 1 < kRows / kTokens)
      start_rows(p, batch, first + kTokens, stages[(step + 1) % kStages]);
    commit_copies();
    wait_for_copies<1>();
    Rows rows;
    take_rows(stages[step % kStages], rows);
    float squares[kTokens];
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      squares[t] = 0.0f;
#pragma unroll
      for (int c = 0; c < kChunks; ++c)
#pragma unroll
        for (int i = 0; i < kColumns; ++i) squares[t] += rows[t][c][i] * rows[t][c][i];
    }
    sum_rows(squares, scratch[step % 2]);
    turn_rows<T>(p, batch, first, gamma, squares, rows);
    if constexpr (kKeys) {
      pool_keys<T, kPooling == Pooling::kCoarsestKeys>(p, batch, first, rows, sums);
      if (step % 2 == 1) end_keys<T>(p, batch, first + kTokens - kGroup, sums);
    } else if (p.staggered) {
      pick_queries<T>(p, batch, first, rows);
    } else {
#pragma unroll
      for (int t = 0; t < kTokens; ++t)
#pragma unroll
        for (int c = 0; c < kChunks; ++c)
#pragma unroll
          for (int i = 0; i < kColumns; ++i) sums[c][i] += rows[t][c][i];
    }
  }
  if constexpr (kKeys) return;
  const int present = min(max(p.rows - block_first, 0), kRows);
  const std::int64_t token = p.first_token + block_first;
  if (p.staggered) {
    const std::int64_t group = token / kStaggeredQueries;
    return clear_queries<T>(p, batch, group + (present + kStaggeredQueries - 1) / kStaggeredQueries,
                            group + kRows / kStaggeredQueries);
  }
#pragma unroll
  for (int c = 0; c < kChunks; ++c) {
    if (!has_chunk(p, c)) continue;
    float mean[kColumns];
#pragma unroll
    for (int i = 0; i < kColumns; ++i)
      mean[i] = present == 0 ? 0.0f : sums[c][i] / static_cast<float>(present) * p.scale_log2;
    store_floats<kColumns>(mean, static_cast<T*>(p.means) + chunk_offset(p, batch, c, p.mean_rows) +
                                     token / kPooledQueries * p.depth);
  }
}

template <typename T, Pooling kPooling>
void launch(CudaRuntime& runtime, const NormRopePoolParams& p, std::int64_t batches) {
  const int threads = (p.width + 32 * kChunks * kColumns - 1) / (32 * kChunks * kColumns) * 32;
  const dim3 grid(static_cast<unsigned>((p.padded_rows + kRows - 1) / kRows),
                  static_cast<unsigned>(batches));
  constexpr int kSharedBytes = kStages * sizeof(Stage);
  const auto kernel = norm_rope_pool_kernel<T, kPooling>;
  PSAGEN_CUDA(
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes));
  kernel<<<grid, threads, kSharedBytes, runtime.stream()>>>(p);
  PSAGEN_CUDA(cudaGetLastError());
}

template <typename T>
void launch_of_type(CudaRuntime& runtime, const NormRopePoolParams& p, std::int64_t batches) {
  if (p.keys == nullptr) return launch<T, Pooling::kQueries>(runtime, p, batches);
  if (p.coarsest_only) return launch<T, Pooling::kCoarsestKeys>(runtime, p, batches);
  launch<T, Pooling::kKeys>(runtime, p, batches);
}

}  // namespace

bool can_pool_in_norm(DType rows, std::int64_t heads, std::int64_t head_dim, int query_block) {
  return (rows == DType::kBF16 || rows == DType::kF16) && head_dim >= kHeadChunk &&
         32 * kColumns % head_dim == 0 && heads * head_dim <= kMostColumns &&
         (query_block == 32 || query_block == 64 || query_block == 128 || query_block == 256);
}

void norm_rope_pool(CudaRuntime& runtime, const RmsNormRopeArgs& args) {
  if (args.x.num_elements() == 0) return;
  const NormPool& pool = *args.pool;
  NormRopePoolParams p{};
  PSAGEN_CHECK(args.x.dtype() == DType::kF32, ErrorCode::kUnsupported,
               "rms_norm_rope: rows to be pooled are ", dtype_name(args.x.dtype()), ", wanted F32");
  p.x = args.x.data<float>();
  p.x_rows = row_shape(args.x);
  p.gamma = reals(args.gamma);
  p.eps = static_cast<float>(args.eps);
  p.rope_cos = args.rope_cos.data<float>();
  p.rope_sin = args.rope_sin.data<float>();
  p.rows = as_int(args.x.dim(1));
  p.width = as_int(p.x_rows.width);
  p.inverse_width = 1.0f / static_cast<float>(p.width);
  p.depth = as_int(args.y.dim(3));
  p.heads = as_int(args.y.dim(2));
  p.y = args.y.bytes();
  p.y_rows = {args.y.dim(0), args.y.dim(1), p.width, args.y.stride(0), args.y.stride(1)};
  RowAccess access(p.depth);
  access.add(args.x, p.x_rows);
  access.add(args.y, p.y_rows);
  access.add_parameter(args.gamma);
  access.add_parameter(args.rope_cos);
  access.add_parameter(args.rope_sin);
  PSAGEN_CHECK(access.aligned(), ErrorCode::kUnsupported,
               "rms_norm_rope: rows to be pooled begin on no multiple of ", kColumns, " elements");
  p.first_token = pool.first_token;
  std::int64_t block = kPooledQueries;  // of queries, or of keys
  if (pool.keys) {
    p.keys = pool.keys.bytes();
    p.log2_weight = pool.log2_weight.data<float>();
    p.pyramid_rows = pool.shape.total_rows();
    for (int i = 0; i < 3; ++i) p.begin[i] = pool.shape.row_begin(i + 1, 0);
    block = pool.shape.key_block;
    p.coarsest_only = pool.coarsest_only;
  } else {
    p.means = pool.queries.bytes();
    p.mean_rows = pool.queries.dim(2) * pool.queries.dim(3);
    p.scale_log2 = static_cast<float>(pool.scale * 1.4426950408889634);
    p.staggered = pool.estimator == ImportanceEstimator::kStaggered;
    block = queries_of_row(pool.estimator) * pool.queries.dim(3);
  }
  const bool last = pool.first_token + args.x.dim(1) == pool.num_tokens;
  const std::int64_t padded = (pool.num_tokens + block - 1) / block * block;
  p.padded_rows = last ? as_int(padded - pool.first_token) : p.rows;
  if (args.y.dtype() == DType::kBF16)
    launch_of_type<__nv_bfloat16>(runtime, p, args.x.dim(0));
  else
    launch_of_type<__half>(runtime, p, args.x.dim(0));
}

}  // namespace psagen::kernels::cuda
