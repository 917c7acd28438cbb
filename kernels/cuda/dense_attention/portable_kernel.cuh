// softmax(scale q k' + key weights) v by the portable kernel: all keys of a head, tile after tile
// (portable_block.cuh).
#pragma once

#include "kernels/cuda/dense_attention/portable_block.cuh"

namespace psagen::kernels::cuda {

template <typename T>
struct PortableParams {
  const T* q = nullptr;
  const T* k = nullptr;
  const T* v = nullptr;
  T* out = nullptr;
  HeadStrides q_strides, k_strides, v_strides, out_strides;
  FusedProblem problem;
};

template <typename Traits, bool kKeyWeights>
struct DenseRows {
  using Element = typename Traits::Element;
  using Params = PortableParams<Element>;
  static constexpr int kKeys = Traits::kKeys;
  static constexpr int kRowTiles = Traits::kRowTiles;

  const FusedProblem& problem;
  int begin = 0;  // the tile's first key
  RowCopier<Traits> keys, values;
  const float* log_weight;
  KeyWeights<kKeys> weights;

  static __device__ int job_of_block(const Params&) { return static_cast<int>(blockIdx.x); }

  __device__ DenseRows(const Params& params, const FusedJob& job, std::uint32_t shared_keys,
                       std::uint32_t shared_values)
      : problem(params.problem),
        keys(head_of(params.k, params.k_strides, job), params.k_strides.row, shared_keys),
        values(head_of(params.v, params.v_strides, job), params.v_strides.row, shared_values),
        log_weight(problem.log_weight + job.batch * problem.log_weight_stride) {}

  __device__ int left(int ahead = 0) const { return problem.keys - begin - ahead * kKeys; }
  __device__ bool has(int ahead) const { return left(ahead) > 0; }
  __device__ void advance() { begin += kKeys; }
  __device__ void copy_keys(int ahead) { keys.template copy<kKeys>(left(ahead)); }
  __device__ void copy_values() { values.template copy<kKeys>(left()); }
  __device__ void prepare() {
    if constexpr (kKeyWeights) weights.load(log_weight, begin, problem.keys);
  }

  // Keys past the last one are left out.
  template <int kScores>
  __device__ void exponentiate(float (&scores)[kRowTiles][kScores],
                               OnlineSoftmax (&softmax)[kRowTiles],
                               float (&rescale)[kRowTiles][2]) const {
    const float scale = problem.scale_log2;
    if constexpr (kKeyWeights) weights.add_to(scale, scores[0], scores[1]);
    if (!kKeyWeights && left() < kKeys) {
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i) mask_columns(scores[i], left());
    }
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
      if constexpr (kKeyWeights)
        softmax[i].template update<true>(scores[i], 1.0f, rescale[i]);
      else
        softmax[i].template update<false>(scores[i], scale, rescale[i]);
    }
  }
};

}  // namespace psagen::kernels::cuda
