// The seam between models and devices: one interface, one complete implementation per back end.
//
// Public calls check shapes, types and devices once, time themselves and forward; the private
// virtuals trust their arguments. Inputs come first, parameters next, outputs last. The caller
// gives every output; an op takes scratch memory from the context's workspace and allocates
// nothing else. An empty view in an optional field means "not given".
//
// On the CPU activations are F32 and weights F32, BF16 or F16, widened on the fly, so that a
// memory-mapped checkpoint is used in place. On a GPU activations are F32 or the context's
// compute_dtype, as the caller allocates them (a result is rounded once, to the type of its view),
// the matrices and kernels of products are compute_dtype, and everything named float32 here is.
// Sums are float32 or wider.
// Shapes use: B batch, L video tokens, S text tokens, N heads, D head dim, C channels,
// T H W a grid in time, rows and columns.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>

#include "kernels/core/context.h"
#include "kernels/core/tensor.h"

namespace psagen::kernels {

enum class Activation { kNone, kGeluTanh, kSilu };

// y = activation(x W' + b), or residual + x W' + b where a residual is given.
struct LinearArgs {
  ConstTensorView x;                          // [B, ..., K]; rows contiguous, row stride free
  ConstTensorView weight;                     // [M, K]
  ConstTensorView bias{};                     // [M], optional
  Activation activation = Activation::kNone;  // not together with residual
  ConstTensorView residual{};                 // as y, optional; may be y itself
  TensorView y;                               // [B, ..., M]
};

// y = x / sqrt(mean(x^2) + eps) * gamma over the last dimension.
struct RmsNormArgs {
  ConstTensorView x;      // [..., C]
  ConstTensorView gamma;  // [C]
  double eps = 1e-6;
  TensorView y;  // as x; may be x itself
};

// y = ((x - mean) / sqrt(var + eps) * gamma + beta) * (1 + scale) + shift over the last dimension;
// biased variance.
struct LayerNormArgs {
  ConstTensorView x;        // [B, L, C]
  ConstTensorView gamma{};  // [C], optional, together with beta
  ConstTensorView beta{};   // [C]
  ConstTensorView scale{};  // [B, C], optional, together with shift
  ConstTensorView shift{};  // [B, C]
  double eps = 1e-6;
  TensorView y;  // as x
};

// x = x + gate * y, then h = LayerNorm(x) as above: what stands between two layers, in one pass.
struct ResidualNormArgs {
  TensorView x;             // [B, L, C] the residual stream, in place
  ConstTensorView y;        // as x
  ConstTensorView gate{};   // [B, C], optional
  ConstTensorView gamma{};  // [C], optional, together with beta
  ConstTensorView beta{};   // [C]
  ConstTensorView scale{};  // [B, C], optional, together with shift
  ConstTensorView shift{};  // [B, C]
  double eps = 1e-6;
  TensorView h;            // as x; may be y itself
  TensorView nonfinite{};  // [1] I32, optional: += rows of the sum that hold NaN or infinite values
};

struct NormPool;  // kernels/psa/psa_args.h

// RMS norm over all heads together, then rotary embedding of adjacent pairs (Wan, spec 3.4):
// (a, b) -> (a cos - b sin, a sin + b cos).
struct RmsNormRopeArgs {
  ConstTensorView x;      // [B, L, N * D]; row stride free
  ConstTensorView gamma;  // [N * D]
  double eps = 1e-6;
  ConstTensorView rope_cos;  // [L, D / 2] float32, row l for token l in the order of x
  ConstTensorView rope_sin;
  TensorView y;  // [B, L, N, D]; may be x itself
  const NormPool* pool = nullptr;
};

// y = gelu_tanh(gate) * up
struct GeluGateArgs {
  ConstTensorView gate;  // [..., C]
  ConstTensorView up;
  TensorView y;  // may be gate or up
};

struct EmbeddingArgs {
  std::span<const std::int32_t> ids;  // S host values
  ConstTensorView table;              // [V, C]
  TensorView y;                       // [S, C]
};

// out = softmax(scale * q k' + bias + key_log_weight) v, per head.
struct AttentionArgs {
  ConstTensorView q;  // [B, Lq, N, D]; the last dimension is unit-stride
  ConstTensorView k;  // [B, Lk, N, D]
  ConstTensorView v;  // [B, Lk, N, D]
  double scale = 1.0;
  ConstTensorView bias{};            // [N, Lq, Lk] float32, optional
  ConstTensorView key_log_weight{};  // [B, Lk] float32, optional: ln of how many equal keys a row
                                     // stands for; -inf leaves the row out
  TensorView out;                    // [B, Lq, N, D]
  TensorView lse{};                  // [B, N, Lq] float32, optional: ln of the softmax denominator
};

// Convolution weights in whatever layout the back end likes best.
class PackedConv3d {
 public:
  virtual ~PackedConv3d() = default;
  std::int64_t in_channels = 0;
  std::int64_t out_channels = 0;
  std::int64_t kernel_t = 1, kernel_h = 1, kernel_w = 1;
};

struct PackConv3dArgs {
  ConstTensorView weight;  // [Co, Ci, kt, kh, kw]; kh = kw, both odd
  ConstTensorView bias;    // [Co]
};

// Causal 3-D convolution, channels last (Wan VAE, spec 4.1): zero padding of (k-1)/2 in space; in
// time the kt-1 frames to the left come from `context`, or are zeros where it is empty.
// With `upsample` each input frame is first doubled in both directions (nearest neighbour).
struct Conv3dArgs {
  ConstTensorView x;          // [T, H, W, Ci]
  ConstTensorView context{};  // [kt - 1, H, W, Ci], optional
  const PackedConv3d* weights = nullptr;
  bool upsample = false;
  ConstTensorView residual{};  // as y, optional: added to the result; may be y itself
  TensorView y;                // [T, H, W, Co], or [T, 2H, 2W, Co] with upsample
};

// y = x / max(||x||_2, 1e-12) * sqrt(C) * gamma over the last dimension, then SiLU if asked for
// (Wan VAE, spec 4.1).
struct ChannelNormArgs {
  ConstTensorView x;      // [..., C]
  ConstTensorView gamma;  // [C]
  bool silu = false;
  TensorView y;  // may be x itself
};

// Latent <-> tokens of patch (1, 2, 2), in a token order: token l of the sequence is raster token
// order[l] of the grid (T, H/2, W/2). Patch vector: (c, p, q) with q fastest going in, (p, q, c)
// with c fastest coming out (spec 3.3 and 3.6).
struct PatchifyArgs {
  ConstTensorView latent;   // [B, C, T, H, W] float32
  ConstTensorView order{};  // [L] I32, optional: raster order where it is empty
  TensorView tokens;        // [B, L, 4 C]
};
struct UnpatchifyArgs {
  ConstTensorView tokens;   // [B, L, 4 C]
  ConstTensorView order{};  // as above
  TensorView latent;        // [B, C, T, H, W] float32
};

struct LinearTerm {
  double coefficient = 0.0;
  ConstTensorView x;
};

// Frames as they leave the decoder: value in [-1, 1] (clamped) -> (x + 1) / 2 * 255, rounded to
// nearest with ties to even (spec 4.7).
struct ToRgb8Args {
  ConstTensorView x;  // [T, H, W, 3]
  TensorView rgb;     // [T, H, W, 3] U8
};

// Arguments of the pyramid sparse attention ops: kernels/psa/psa_args.h.
struct PyramidFormat;
struct BuildPyramidArgs;
struct SelectBlocksArgs;
struct SparseAttentionArgs;

class Ops {
 public:
  explicit Ops(Context& context) : context_(context) {}
  virtual ~Ops() = default;
  Ops(const Ops&) = delete;
  Ops& operator=(const Ops&) = delete;

  Context& context() const { return context_; }

  void linear(const LinearArgs& args);
  void rms_norm(const RmsNormArgs& args);
  void layer_norm(const LayerNormArgs& args);
  void residual_norm(const ResidualNormArgs& args);
  void rms_norm_rope(const RmsNormRopeArgs& args);
  void gelu_gate(const GeluGateArgs& args);
  void activate(ConstTensorView x, Activation activation, TensorView y);
  void embedding(const EmbeddingArgs& args);
  void attention(const AttentionArgs& args);
  std::unique_ptr<PackedConv3d> pack_conv3d(const PackConv3dArgs& args);  // at load time: allocates
  void conv3d(const Conv3dArgs& args);
  void channel_norm(const ChannelNormArgs& args);
  void patchify(const PatchifyArgs& args);
  void unpatchify(const UnpatchifyArgs& args);
  // y = sum of coefficient * x over the terms, each as y, summed in the order given; y may be one
  // of the x.
  void linear_combination(std::span<const LinearTerm> terms, TensorView y);
  // Element by element, any strides, converting the type; shapes must agree. On a GPU one side may
  // be contiguous host memory; a copy to the host waits until the bytes are there.
  void copy(ConstTensorView x, TensorView y);
  void to_rgb8(const ToRgb8Args& args);
  // counter [1] I32 += how many elements of x are NaN or infinite.
  void count_nonfinite(ConstTensorView x, TensorView counter);

  // How the back end keeps a pyramid of keys of this type: what to allocate.
  PyramidFormat pyramid_format(DType keys) const;
  // Whether rms_norm_rope of rows of this type, in blocks of `query_block`, can pool them as well.
  bool pools_in_norm(DType rows, std::int64_t heads, std::int64_t head_dim, int query_block) const;
  // Whether sparse_attention makes rows of the pyramid while it attends
  // (SparseAttentionArgs::pending), so that build_pyramid need not make them all.
  bool pools_in_attention() const { return do_pools_in_attention(); }
  void build_pyramid(const BuildPyramidArgs& args);
  void select_blocks(const SelectBlocksArgs& args);
  void sparse_attention(const SparseAttentionArgs& args);

 private:
  virtual void do_linear(const LinearArgs& args) = 0;
  virtual void do_rms_norm(const RmsNormArgs& args) = 0;
  virtual void do_layer_norm(const LayerNormArgs& args) = 0;
  virtual void do_residual_norm(const ResidualNormArgs& args) = 0;
  virtual void do_rms_norm_rope(const RmsNormRopeArgs& args) = 0;
  virtual void do_gelu_gate(const GeluGateArgs& args) = 0;
  virtual void do_activate(ConstTensorView x, Activation activation, TensorView y) = 0;
  virtual void do_embedding(const EmbeddingArgs& args) = 0;
  virtual void do_attention(const AttentionArgs& args) = 0;
  virtual std::unique_ptr<PackedConv3d> do_pack_conv3d(const PackConv3dArgs& args) = 0;
  virtual void do_conv3d(const Conv3dArgs& args) = 0;
  virtual void do_channel_norm(const ChannelNormArgs& args) = 0;
  virtual void do_patchify(const PatchifyArgs& args) = 0;
  virtual void do_unpatchify(const UnpatchifyArgs& args) = 0;
  virtual void do_linear_combination(std::span<const LinearTerm> terms, TensorView y) = 0;
  virtual void do_copy(ConstTensorView x, TensorView y) = 0;
  virtual void do_to_rgb8(const ToRgb8Args& args) = 0;
  virtual void do_count_nonfinite(ConstTensorView x, TensorView counter) = 0;
  virtual PyramidFormat do_pyramid_format(DType keys) const = 0;
  virtual bool do_pools_in_norm(DType, std::int64_t, std::int64_t, int) const { return false; }
  virtual bool do_pools_in_attention() const { return false; }
  virtual void do_build_pyramid(const BuildPyramidArgs& args) = 0;
  virtual void do_select_blocks(const SelectBlocksArgs& args) = 0;
  virtual void do_sparse_attention(const SparseAttentionArgs& args) = 0;

  Context& context_;
};

}  // namespace psagen::kernels
