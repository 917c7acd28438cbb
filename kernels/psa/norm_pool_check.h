// What RmsNormRopeArgs::pool must fit; for kernels/ops.cc.
#pragma once

#include "kernels/ops.h"

namespace psagen::kernels {

void check_norm_pool(const Ops& ops, const RmsNormRopeArgs& args);

}  // namespace psagen::kernels
