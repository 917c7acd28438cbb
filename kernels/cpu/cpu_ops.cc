#include "kernels/cpu/cpu_ops.h"

#include "kernels/cpu/conv3d.h"
#include "kernels/cpu/dense_attention.h"
#include "kernels/cpu/elementwise.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/norm.h"
#include "kernels/cpu/rearrange.h"
#include "kernels/cpu/rope.h"
#include "kernels/cpu/simd_target.h"

namespace psagen::kernels {

CpuOps::CpuOps(Context& context)
    : Ops(context), convolutions_(std::make_unique<cpu::ConvolutionCache>(context)) {
  cpu::choose_simd_target();
}

CpuOps::~CpuOps() = default;

void CpuOps::do_linear(const LinearArgs& args) { cpu::linear(context(), args); }

void CpuOps::do_rms_norm(const RmsNormArgs& args) { cpu::rms_norm(context(), args); }

void CpuOps::do_layer_norm(const LayerNormArgs& args) { cpu::layer_norm(context(), args); }

void CpuOps::do_residual_norm(const ResidualNormArgs& args) { cpu::residual_norm(context(), args); }

void CpuOps::do_rms_norm_rope(const RmsNormRopeArgs& args) { cpu::rms_norm_rope(context(), args); }

void CpuOps::do_gelu_gate(const GeluGateArgs& args) { cpu::gelu_gate(context(), args); }

void CpuOps::do_activate(ConstTensorView x, Activation activation, TensorView y) {
  cpu::activate(context(), x, activation, y);
}

void CpuOps::do_embedding(const EmbeddingArgs& args) { cpu::embedding(context(), args); }

void CpuOps::do_attention(const AttentionArgs& args) { cpu::attention(context(), args); }

std::unique_ptr<PackedConv3d> CpuOps::do_pack_conv3d(const PackConv3dArgs& args) {
  return cpu::pack_conv3d(context(), args);
}

void CpuOps::do_conv3d(const Conv3dArgs& args) { cpu::conv3d(context(), *convolutions_, args); }

void CpuOps::do_channel_norm(const ChannelNormArgs& args) { cpu::channel_norm(context(), args); }

void CpuOps::do_patchify(const PatchifyArgs& args) { cpu::patchify(context(), args); }

void CpuOps::do_unpatchify(const UnpatchifyArgs& args) { cpu::unpatchify(context(), args); }

void CpuOps::do_linear_combination(std::span<const LinearTerm> terms, TensorView y) {
  cpu::linear_combination(context(), terms, y);
}

void CpuOps::do_copy(ConstTensorView x, TensorView y) { cpu::copy(context(), x, y); }

void CpuOps::do_to_rgb8(const ToRgb8Args& args) { cpu::to_rgb8(context(), args); }

void CpuOps::do_count_nonfinite(ConstTensorView x, TensorView counter) {
  cpu::count_nonfinite(context(), x, counter);
}

}  // namespace psagen::kernels
