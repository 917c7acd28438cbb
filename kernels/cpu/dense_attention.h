// Dense attention: online softmax over packed keys and values, float32.
#pragma once

#include "kernels/ops.h"

namespace psagen::kernels::cpu {

void attention(Context& context, const AttentionArgs& args);

}  // namespace psagen::kernels::cpu
