// Pyramid Sparse Attention as one call: pool keys and values, judge the blocks, choose levels,
// attend. Tokens are already in pyramid_token_order (applied once per forward, not here).
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "kernels/ops.h"
#include "kernels/psa/psa_params.h"

namespace psagen::kernels {

// What a call did, as shares of dense work by batch and head: [B, N] float32 where the back end
// lives, each optional. Reading them is the owner's business: a GPU is not waited for here.
struct PsaDensity {
  TensorView nominal;   // SelectBlocksArgs::nominal_density, of reused levels too
  TensorView executed;  // SparseAttentionArgs::executed_density
};

// How the levels of a call come about.
struct PsaSelection {
  std::uint64_t seed = 0;                         // instead of params.seed; another in each call
  std::span<const LevelBounds> head_bounds = {};  // PsaParams::head_bounds
  std::int64_t slot = 0;  // of the kept levels: where the call leaves its own, or finds them
  bool reuse = false;     // attend with the levels that the slot holds; nothing is chosen
  bool pooled = false;    // q and k came through query_pool(), with the same scale, and key_pool()
};

// The buffers of one shape (pyramid, block levels), allocated once per job and reused by every
// layer and step.
class PyramidSparseAttention {
 public:
  // Throws Error(kInvalidArgument) that names the field where params make no sense.
  // q and k are of the context's score_dtype, v and out of its compute_dtype. `num_slots`: how many
  // calls' levels are kept for reuse; 0: each call overwrites those of the last.
  PyramidSparseAttention(Ops& ops, std::int64_t batch, std::int64_t num_tokens,
                         std::int64_t num_heads, std::int64_t head_dim, const PsaParams& params,
                         std::int64_t num_slots = 0);
  // The same for q and k of type `scored`, v and out of type `summed`, normed elsewhere: it keeps
  // no levels and does not pool in the norm. heads: [B, L, N, D].
  PyramidSparseAttention(Ops& ops, const Shape& heads, DType scored, DType summed,
                         const PsaParams& params);
  ~PyramidSparseAttention();

  // Where the back end can pool queries and keys while it norms them, and the rest in attention:
  // what to give to RmsNormRopeArgs::pool for tokens [first_token, ...), every token once before
  // forward() is called with `pooled`.
  bool pools_in_norm() const { return pools_in_norm_; }
  NormPool query_pool(std::int64_t first_token, double scale) const;
  NormPool key_pool(std::int64_t first_token) const;

  // q, k, v, out: [B, L, N, D], last dimension unit-stride; lse [B, N, L] optional.
  void forward(Ops& ops, ConstTensorView q, ConstTensorView k, ConstTensorView v, double scale,
               const PsaSelection& selection, TensorView out, TensorView lse = {},
               const PsaDensity& density = {});

  // What the last forward chose or reused: [B, N, query blocks, key blocks] U8, tokens a row, 0
  // skipped.
  ConstTensorView levels() const;

 private:
  struct Buffers;
  struct Slot;
  TensorView order_of(Slot& slot, const PsaSelection& selection) const;
  void select(Ops& ops, ConstTensorView q, ConstTensorView k, double scale,
              const PsaSelection& selection, Slot& slot, TensorView nominal);

  PsaParams params_;
  bool pools_in_norm_ = false;
  std::unique_ptr<Buffers> buffers_;
};

// Throws Error(kInvalidArgument) naming the offending field.
void validate(const PsaParams& params);

}  // namespace psagen::kernels
