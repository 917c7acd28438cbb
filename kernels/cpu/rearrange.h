// Moving elements without computing: copies between any strides, latents to tokens and back.
#pragma once

#include "kernels/ops.h"

namespace psagen::kernels::cpu {

void copy(Context& context, ConstTensorView x, TensorView y);
void patchify(Context& context, const PatchifyArgs& args);
void unpatchify(Context& context, const UnpatchifyArgs& args);

}  // namespace psagen::kernels::cpu
