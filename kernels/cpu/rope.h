// RMS norm over all heads and rotary embedding in one pass over the row.
#pragma once

#include "kernels/ops.h"

namespace psagen::kernels::cpu {

void rms_norm_rope(Context& context, const RmsNormRopeArgs& args);

}  // namespace psagen::kernels::cpu
