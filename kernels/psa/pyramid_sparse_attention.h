// Pyramid Sparse Attention as one call: pool keys and values, judge the blocks, choose levels,
// attend. Tokens are already in pyramid_token_order (applied once per forward, not here).
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/ops.h"
#include "kernels/psa/psa_params.h"

namespace psagen::kernels {

// What a call did, as shares of dense work by batch and head: [B, N] float32 where the back end
// lives, each optional. Reading them is the owner's business: a GPU is not waited for here.
struct PsaDensity {
  TensorView nominal;   // SelectBlocksArgs::nominal_density
  TensorView executed;  // SparseAttentionArgs::executed_density
};

// The buffers of one shape (pyramid, block levels), allocated once per job and reused by every
// layer and step.
class PyramidSparseAttention {
 public:
  // Throws Error(kInvalidArgument) that names the field where params make no sense.
  // q and k are of the context's score_dtype, v and out of its compute_dtype.
  PyramidSparseAttention(Ops& ops, std::int64_t batch, std::int64_t num_tokens,
                         std::int64_t num_heads, std::int64_t head_dim, const PsaParams& params);
  // The same for q and k of type `scored`, v and out of type `summed`; heads: [B, L, N, D].
  PyramidSparseAttention(Ops& ops, const Shape& heads, DType scored, DType summed,
                         const PsaParams& params);
  ~PyramidSparseAttention();

  // q, k, v, out: [B, L, N, D], last dimension unit-stride; lse [B, N, L] optional. `seed` replaces
  // params.seed for the sampled estimator.
  void forward(Ops& ops, ConstTensorView q, ConstTensorView k, ConstTensorView v, double scale,
               std::uint64_t seed, TensorView out, TensorView lse = {},
               const PsaDensity& density = {});

  // What the last forward chose: [B, N, query blocks, key blocks] U8, tokens a row, 0 skipped.
  ConstTensorView levels() const;

 private:
  struct Buffers;
  PsaParams params_;
  std::unique_ptr<Buffers> buffers_;
};

// Throws Error(kInvalidArgument) naming the offending field.
void validate(const PsaParams& params);

}  // namespace psagen::kernels
