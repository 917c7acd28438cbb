// Matrix products with the weights of a linear layer, bias and what follows fused.
#pragma once

#include "kernels/ops.h"

namespace psagen::kernels::cpu {

void linear(Context& context, const LinearArgs& args);

}  // namespace psagen::kernels::cpu
