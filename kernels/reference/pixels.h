// Decoder values to 8-bit levels (spec/wan 4.7).
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/ops.h"

namespace psagen::kernels::reference {

// In float32, one operation after the other, as the published pipeline computes it.
std::vector<std::uint8_t> to_rgb8(const ToRgb8Args& args);

}  // namespace psagen::kernels::reference
