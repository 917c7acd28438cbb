// The CPU side of pyramid sparse attention, one function per file; CpuOps forwards here.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/core/context.h"
#include "kernels/psa/psa_args.h"

namespace psagen::kernels::cpu {

void pool_pyramid(Context& context, const BuildPyramidArgs& args);
void select_by_importance(Context& context, const SelectBlocksArgs& args);
void attend_sparse(Context& context, const SparseAttentionArgs& args);

// The coarsest level at which the keys of a block still agree: `count` rows of `depth` floats,
// `stride` apart; thresholds of levels 2, 4, 8.
std::uint8_t similar_up_to_level(const float* keys, std::int64_t stride, std::int64_t count,
                                 std::int64_t depth, std::span<const double, 3> thresholds);

}  // namespace psagen::kernels::cpu
