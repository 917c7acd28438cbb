#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/psa/psa_kernels.h"

namespace psagen::kernels {

PyramidFormat CpuOps::do_pyramid_format(DType) const {
  return {.finest_level = 1, .dtype = DType::kF32};
}

void CpuOps::do_build_pyramid(const BuildPyramidArgs& args) { cpu::pool_pyramid(context(), args); }

void CpuOps::do_select_blocks(const SelectBlocksArgs& args) {
  cpu::select_by_importance(context(), args);
}

void CpuOps::do_sparse_attention(const SparseAttentionArgs& args) {
  cpu::attend_sparse(context(), args);
}

}  // namespace psagen::kernels
