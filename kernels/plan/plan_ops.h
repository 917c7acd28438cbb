// Ops that do nothing but count what they would compute; the public calls still check their
// arguments. Packed convolution weights are counted as the CUDA back end keeps them.
#pragma once

#include "kernels/ops.h"
#include "kernels/psa/psa_args.h"

namespace psagen::kernels {

class PlanOps final : public Ops {
 public:
  explicit PlanOps(Context& context) : Ops(context) {}

  // Of all calls so far: 2 for each multiply-add of products, convolutions and dense attention.
  double flops() const { return flops_; }

 private:
  void do_linear(const LinearArgs& args) override;
  void do_rms_norm(const RmsNormArgs&) override {}
  void do_layer_norm(const LayerNormArgs&) override {}
  void do_residual_norm(const ResidualNormArgs&) override {}
  void do_rms_norm_rope(const RmsNormRopeArgs&) override {}
  void do_gelu_gate(const GeluGateArgs&) override {}
  void do_activate(ConstTensorView, Activation, TensorView) override {}
  void do_embedding(const EmbeddingArgs&) override {}
  void do_attention(const AttentionArgs& args) override;
  std::unique_ptr<PackedConv3d> do_pack_conv3d(const PackConv3dArgs& args) override;
  void do_conv3d(const Conv3dArgs& args) override;
  void do_channel_norm(const ChannelNormArgs&) override {}
  void do_patchify(const PatchifyArgs&) override {}
  void do_unpatchify(const UnpatchifyArgs&) override {}
  void do_linear_combination(std::span<const LinearTerm>, TensorView) override {}
  void do_copy(ConstTensorView x, TensorView y) override;
  void do_to_rgb8(const ToRgb8Args&) override {}
  void do_count_nonfinite(ConstTensorView, TensorView) override {}
  // As the CUDA back end keeps it.
  PyramidFormat do_pyramid_format(DType keys) const override {
    return {.finest_level = 2, .dtype = keys};
  }
  void do_build_pyramid(const BuildPyramidArgs&) override {}
  void do_select_blocks(const SelectBlocksArgs&) override {}
  void do_sparse_attention(const SparseAttentionArgs&) override {}

  double flops_ = 0.0;
};

}  // namespace psagen::kernels
