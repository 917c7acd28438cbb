// Pyramid Sparse Attention as one call: pool keys and values, judge the blocks, choose levels,
// attend. Tokens are already in pyramid_token_order (applied once per forward, not here).
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/ops.h"
#include "kernels/psa/psa_params.h"

namespace psagen::kernels {

// The buffers of one shape (pyramid, block lists), allocated once per job and reused by every layer
// and step.
class PyramidSparseAttention {
 public:
  // Throws Error(kInvalidArgument) that names the field where params make no sense.
  PyramidSparseAttention(Ops& ops, std::int64_t batch, std::int64_t num_tokens,
                         std::int64_t num_heads, std::int64_t head_dim, const PsaParams& params);
  ~PyramidSparseAttention();

  // q, k, v, out: [B, L, N, D], last dimension unit-stride; lse [B, N, L] optional. `seed` replaces
  // params.seed for the sampled estimator.
  PsaStats forward(Ops& ops, ConstTensorView q, ConstTensorView k, ConstTensorView v, double scale,
                   std::uint64_t seed, TensorView out, TensorView lse = {});

 private:
  struct Buffers;
  PsaParams params_;
  std::unique_ptr<Buffers> buffers_;
};

// Throws Error(kInvalidArgument) naming the offending field.
void validate(const PsaParams& params);

}  // namespace psagen::kernels
