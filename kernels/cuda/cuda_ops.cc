#include "kernels/cuda/cuda_ops.h"

#include "kernels/cuda/conv3d.h"
#include "kernels/cuda/dense_attention/dense_attention.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/linear.h"
#include "kernels/cuda/nonfinite.h"
#include "kernels/cuda/norm.h"
#include "kernels/cuda/psa/norm_rope_pool.h"
#include "kernels/cuda/psa/psa_kernels.h"
#include "kernels/cuda/psa/sparse_attention/sparse_attention.h"
#include "kernels/cuda/rearrange.h"
#include "kernels/psa/psa_args.h"

namespace psagen::kernels {

CudaOps::CudaOps(Context& context, cuda::CudaRuntime& runtime)
    : Ops(context),
      runtime_(runtime),
      linear_plans_(std::make_unique<cuda::LinearPlans>(runtime)),
      convolution_plans_(std::make_unique<cuda::ConvolutionPlans>(runtime)) {}

CudaOps::~CudaOps() = default;

void CudaOps::do_linear(const LinearArgs& args) {
  cuda::linear(runtime_, context().workspace(), *linear_plans_, args);
}

void CudaOps::do_rms_norm(const RmsNormArgs& args) { cuda::rms_norm(runtime_, args); }

void CudaOps::do_layer_norm(const LayerNormArgs& args) { cuda::layer_norm(runtime_, args); }

void CudaOps::do_residual_norm(const ResidualNormArgs& args) {
  cuda::residual_norm(runtime_, args);
}

void CudaOps::do_rms_norm_rope(const RmsNormRopeArgs& args) {
  if (args.pool != nullptr) return cuda::norm_rope_pool(runtime_, args);
  cuda::rms_norm_rope(runtime_, args);
}

void CudaOps::do_gelu_gate(const GeluGateArgs& args) { cuda::gelu_gate(runtime_, args); }

void CudaOps::do_activate(ConstTensorView x, Activation activation, TensorView y) {
  cuda::activate(runtime_, x, activation, y);
}

void CudaOps::do_embedding(const EmbeddingArgs& args) {
  cuda::embedding(runtime_, context().workspace(), args);
}

void CudaOps::do_attention(const AttentionArgs& args) {
  cuda::dense_attention(runtime_, context().workspace(), *linear_plans_, args);
}

std::unique_ptr<PackedConv3d> CudaOps::do_pack_conv3d(const PackConv3dArgs& args) {
  return cuda::pack_conv3d(runtime_, context(), args);
}

void CudaOps::do_conv3d(const Conv3dArgs& args) {
  cuda::conv3d(runtime_, context().workspace(), *convolution_plans_, args);
}

void CudaOps::do_channel_norm(const ChannelNormArgs& args) { cuda::channel_norm(runtime_, args); }

void CudaOps::do_patchify(const PatchifyArgs& args) { cuda::patchify(runtime_, args); }

void CudaOps::do_unpatchify(const UnpatchifyArgs& args) { cuda::unpatchify(runtime_, args); }

void CudaOps::do_linear_combination(std::span<const LinearTerm> terms, TensorView y) {
  cuda::linear_combination(runtime_, terms, y);
}

void CudaOps::do_copy(ConstTensorView x, TensorView y) { cuda::copy(runtime_, x, y); }

void CudaOps::do_to_rgb8(const ToRgb8Args& args) { cuda::to_rgb8(runtime_, args); }

void CudaOps::do_count_nonfinite(ConstTensorView x, TensorView counter) {
  cuda::count_nonfinite(runtime_, x, counter);
}

// Level 1 is read where k and v lie.
PyramidFormat CudaOps::do_pyramid_format(DType keys) const {
  return {.finest_level = 2, .dtype = keys};
}

bool CudaOps::do_pools_in_norm(DType rows, std::int64_t heads, std::int64_t head_dim,
                               int query_block) const {
  return cuda::can_pool_in_norm(rows, heads, head_dim, query_block);
}

void CudaOps::do_build_pyramid(const BuildPyramidArgs& args) {
  if (context().workspace().counts_only()) return;
  cuda::pool_pyramid(runtime_, args);
}

void CudaOps::do_select_blocks(const SelectBlocksArgs& args) {
  cuda::select_blocks(runtime_, context().workspace(), args);
}

void CudaOps::do_sparse_attention(const SparseAttentionArgs& args) {
  cuda::sparse_attention(runtime_, context().workspace(), args);
}

}  // namespace psagen::kernels
