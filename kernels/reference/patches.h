// Latent to tokens and back, element by element from the definition (spec/wan 3.3 and 3.6).
#pragma once

#include <vector>

#include "kernels/ops.h"

namespace psagen::kernels::reference {

// Tokens [B, L, 4 C].
std::vector<float> patchify(const PatchifyArgs& args);
// Latent [B, C, T, H, W].
std::vector<float> unpatchify(const UnpatchifyArgs& args);

}  // namespace psagen::kernels::reference
