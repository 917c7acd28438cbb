// Keys and values averaged over 2, 4 and 8 tokens, row-major, and how far each key block may be
// pooled before its keys disagree; formulas in kernels/psa/psa_args.h. Keys come with their norm
// where that can make them (norm_rope_pool.cu); what selection does not read is made in attention
// where that can (sparse_attention/pool_ahead.cuh).
//
// A block of threads has one key block of one head, of k or of v; a thread eight neighbouring
// elements of eight neighbouring tokens, whose seven means it makes in registers, each level's sums
// from those of the level below (the order of the CPU). Eight loads are in flight before the first.
// Bytes for each token and head: k and v once, 2 D s, and 7/8 of that written; s the size of an
// element. The cosines of the similarity cap come from the same registers.
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/device/numeric.cuh"
#include "kernels/cuda/psa/head_rows.h"
#include "kernels/cuda/psa/pooling.cuh"
#include "kernels/cuda/psa/psa_kernels.h"

namespace psagen::kernels::cuda {
namespace {

constexpr int kMostGroups = 16;    // of a key block
constexpr int kMostThreads = 512;  // 16 groups x 32 chunks of 8 elements

template <typename T>
using KeyGroup = Group<T>;  // of keys or of values

struct PoolParams {
  HeadRows k, v;
  void *keys, *values;       // [B, N, rows, depth]
  float* log2_weight;        // [rows]
  std::uint8_t* level_caps;  // [B, N, key blocks]; null: not wanted
  double thresholds[3];      // of levels 2, 4, 8
  int begin[3];              // first row of levels 2, 4, 8
  std::int64_t rows;         // of one head
  int tokens, heads, key_blocks, key_block, depth;
  bool coarsest_keys_only;
  int lanes;  // threads of a row: depth / 8, up to the next power of two
};

// Sum over the `lanes` neighbouring threads of a row, a power of two up to 32.
__device__ inline float row_sum(float value, int lanes) {
  for (int step = lanes / 2; step > 0; step /= 2)
    value += __shfl_xor_sync(0xffffffffu, value, step);
  return value;
}

template <typename T>
__device__ inline float dot(const Pack<T, kHeadChunk>& a, const Pack<T, kHeadChunk>& b) {
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < kHeadChunk; ++i) sum = fmaf(widen(a.values[i]), widen(b.values[i]), sum);
  return sum;
}

// In [-1, 1]. Of keys of length 0 two agree, pooling them loses nothing; one agrees with no other.
__device__ inline double cosine(float product, float first, float last) {
  const double norms = sqrt(static_cast<double>(first) * static_cast<double>(last));
  if (norms == 0.0) return first == last ? 1.0 : 0.0;
  return fmin(fmax(static_cast<double>(product) / norms, -1.0), 1.0);
}

// Sum over the groups of kTokens, among a thread's eight tokens, of the cosine of their first and
// last key; every lane of the row gets it. Tokens past the last one are copies of it.
template <int kTokens, typename T>
__device__ inline double sum_of_cosines(const KeyGroup<T>& group, const float (&norms)[kGroup],
                                        int present, int lanes) {
  double sum = 0.0;
#pragma unroll
  for (int first = 0; first < kGroup; first += kTokens) {
    const int last = first + kTokens - 1;
    const float product = row_sum(dot(group.rows[first], group.rows[last]), lanes);
    if (first < present) sum += cosine(product, norms[first], norms[last]);
  }
  return sum;
}

// The coarsest level whose mean cosine is above its threshold, from the sums of each group of eight
// tokens; -1 stands for no cap, even for keys that point in opposite directions.
__device__ inline std::uint8_t level_cap(const double (&sums)[kMostGroups][3],
                                         const double (&thresholds)[3], int groups, int tokens) {
  std::uint8_t cap = 1;
  for (int i = 0; i < 3; ++i) {
    const int level = 2 << i;
    double sum = 0.0;
    for (int g = 0; g < groups; ++g) sum += sums[g][i];
    if (thresholds[i] <= -1.0 ||
        sum > thresholds[i] * static_cast<double>((tokens + level - 1) / level))
      cap = static_cast<std::uint8_t>(level);
  }
  return cap;
}

__device__ inline void write_weights(const PoolParams& p, int token, int present) {
  for (int level = 2, index = 0; level <= kGroup; level *= 2, ++index)
    for (int u = 0; u < kGroup / level; ++u)
      p.log2_weight[p.begin[index] + token / level + u] =
          log2_weight_of(tokens_of_row(u, level, present));
}

// All threads of the block of threads together.
template <typename T>
__device__ inline void write_cap(const PoolParams& p, KeyGroup<T> tokens, int block, int group,
                                 int lane, int present) {
  __shared__ double sums[kMostGroups][3];
#pragma unroll
  for (int t = 1; t < kGroup; ++t)
    if (t >= present) tokens.rows[t] = tokens.rows[t - 1];
  float norms[kGroup];
#pragma unroll
  for (int t = 0; t < kGroup; ++t) norms[t] = row_sum(dot(tokens.rows[t], tokens.rows[t]), p.lanes);
  const double twos = sum_of_cosines<2>(tokens, norms, present, p.lanes);
  const double fours = sum_of_cosines<4>(tokens, norms, present, p.lanes);
  const double eights = sum_of_cosines<8>(tokens, norms, present, p.lanes);
  if (lane == 0) {
    sums[group][0] = twos;
    sums[group][1] = fours;
    sums[group][2] = eights;
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  const int left = p.tokens - block * p.key_block;
  p.level_caps[static_cast<std::int64_t>(blockIdx.x) * p.key_blocks + block] =
      level_cap(sums, p.thresholds, p.key_block / kGroup, min(left, p.key_block));
}

// The keys or the values of a key block.
template <typename T, bool kKeys, bool kCaps>
__device__ inline void pool_block(const PoolParams& p, const HeadRows& from, void* to) {
  const int head = static_cast<int>(blockIdx.x) % p.heads;
  const int batch = static_cast<int>(blockIdx.x) / p.heads;
  const int block = static_cast<int>(blockIdx.y);
  const int group = static_cast<int>(threadIdx.x) / p.lanes;
  const int lane = static_cast<int>(threadIdx.x) % p.lanes;
  const int token = block * p.key_block + group * kGroup;
  const int present = min(max(p.tokens - token, 0), kGroup);
  const int column = lane * kHeadChunk;
  KeyGroup<T> tokens;
  // Lanes past the row have zeros, and nothing to write.
  tokens.load(static_cast<const T*>(from.data) + from.offset(batch, token, head) + column,
              from.token_stride, column < p.depth ? present : 0);
  if constexpr (kKeys && kCaps) write_cap(p, tokens, block, group, lane, present);
  if (kKeys && blockIdx.x == 0 && lane == 0) write_weights(p, token, present);
  if (column >= p.depth) return;
  T* const rows = static_cast<T*>(to) + blockIdx.x * p.rows * p.depth + column;
  write_group_means(tokens, PyramidRows<T>{rows, p.begin, p.depth, kKeys && p.coarsest_keys_only},
                    token, present);
}

template <typename S, typename T, bool kCaps>
__global__ void __launch_bounds__(kMostThreads, 1) pyramid_pool_kernel(const PoolParams p) {
  if (p.v.data != nullptr && blockIdx.z == 0)
    pool_block<T, false, kCaps>(p, p.v, p.values);
  else
    pool_block<S, true, kCaps>(p, p.k, p.keys);
}

}  // namespace

void pool_pyramid(CudaRuntime& runtime, const BuildPyramidArgs& args) {
  const Pyramid& pyramid = args.pyramid;
  const PyramidShape& shape = pyramid.shape;
  const bool has_keys = args.part != PyramidPart::kValues && args.part != PyramidPart::kNone;
  const bool has_values = args.part == PyramidPart::kValues || args.part == PyramidPart::kAll;
  if (args.v.num_elements() == 0 || !(has_keys || has_values)) return;
  PoolParams p{};
  if (has_keys) p.k = head_rows("build_pyramid", "k", args.k);
  if (has_values) p.v = head_rows("build_pyramid", "v", args.v);
  p.keys = pyramid.keys.bytes();
  p.values = pyramid.values.bytes();
  p.log2_weight = pyramid.log2_weight.data<float>();
  p.coarsest_keys_only = args.part == PyramidPart::kCoarsestKeys;
  if (pyramid.level_caps && has_keys) p.level_caps = pyramid.level_caps.data<std::uint8_t>();
  for (int i = 0; i < 3; ++i) {
    p.thresholds[i] = args.similarity_thresholds[static_cast<std::size_t>(i)];
    p.begin[i] = as_int(shape.row_begin(i + 1, 0));
  }
  p.rows = shape.total_rows();
  p.tokens = as_int(shape.num_tokens);
  p.heads = as_int(args.v.dim(2));
  p.key_blocks = as_int(shape.key_blocks());
  p.key_block = shape.key_block;
  p.depth = as_int(args.v.dim(3));
  p.lanes = 1;
  while (p.lanes * kHeadChunk < p.depth) p.lanes *= 2;
  PSAGEN_CHECK(p.key_blocks <= 65535, ErrorCode::kUnsupported, "build_pyramid: ", p.key_blocks,
               " key blocks, wanted at most 65535");
  const dim3 grid(static_cast<unsigned>(args.v.dim(0) * p.heads),
                  static_cast<unsigned>(p.key_blocks), has_keys && has_values ? 2 : 1);
  const int threads = p.key_block / kGroup * p.lanes;
  with_real_types(pyramid.keys.dtype(), pyramid.values.dtype(), [&]<typename S, typename T>(S, T) {
    if (p.level_caps != nullptr)
      pyramid_pool_kernel<S, T, true><<<grid, threads, 0, runtime.stream()>>>(p);
    else
      pyramid_pool_kernel<S, T, false><<<grid, threads, 0, runtime.stream()>>>(p);
  });
  PSAGEN_CUDA(cudaGetLastError());
}

}  // namespace psagen::kernels::cuda
