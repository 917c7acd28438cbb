// The CUDA back end. Every function forwards to the file of its op family; the order is that of
// kernels/ops.h. All work goes to the runtime's one stream; nothing here waits for the device, but
// a copy to host memory does.
#pragma once

#include <memory>

#include "kernels/cuda/runtime.h"
#include "kernels/ops.h"

namespace psagen::kernels {

namespace cuda {
class LinearPlans;
class ConvolutionPlans;
}  // namespace cuda

class CudaOps final : public Ops {
 public:
  CudaOps(Context& context, cuda::CudaRuntime& runtime);
  ~CudaOps() override;

 private:
  void do_linear(const LinearArgs& args) override;
  void do_rms_norm(const RmsNormArgs& args) override;
  void do_layer_norm(const LayerNormArgs& args) override;
  void do_residual_norm(const ResidualNormArgs& args) override;
  void do_rms_norm_rope(const RmsNormRopeArgs& args) override;
  void do_gelu_gate(const GeluGateArgs& args) override;
  void do_activate(ConstTensorView x, Activation activation, TensorView y) override;
  void do_embedding(const EmbeddingArgs& args) override;
  void do_attention(const AttentionArgs& args) override;
  std::unique_ptr<PackedConv3d> do_pack_conv3d(const PackConv3dArgs& args) override;
  void do_conv3d(const Conv3dArgs& args) override;
  void do_channel_norm(const ChannelNormArgs& args) override;
  void do_patchify(const PatchifyArgs& args) override;
  void do_unpatchify(const UnpatchifyArgs& args) override;
  void do_linear_combination(std::span<const LinearTerm> terms, TensorView y) override;
  void do_copy(ConstTensorView x, TensorView y) override;
  void do_to_rgb8(const ToRgb8Args& args) override;
  void do_count_nonfinite(ConstTensorView x, TensorView counter) override;

  PyramidFormat do_pyramid_format(DType keys) const override;
  bool do_pools_in_norm(DType rows, std::int64_t heads, std::int64_t head_dim,
                        int query_block) const override;
  bool do_pools_in_attention() const override { return true; }
  void do_build_pyramid(const BuildPyramidArgs& args) override;
  void do_select_blocks(const SelectBlocksArgs& args) override;
  void do_sparse_attention(const SparseAttentionArgs& args) override;

  cuda::CudaRuntime& runtime_;
  std::unique_ptr<cuda::LinearPlans> linear_plans_;
  std::unique_ptr<cuda::ConvolutionPlans> convolution_plans_;
};

}  // namespace psagen::kernels
