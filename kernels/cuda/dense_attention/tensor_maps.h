// Tensor maps: what a bulk copy of Hopper has to know of a tensor.
#pragma once

#include <cuda.h>

#include "kernels/core/tensor.h"

namespace psagen::kernels::cuda {

// A view [B, L, N, D] of a 16-bit type as boxes of kBoxColumns x `rows` elements of a head; rows,
// heads and batches on 16 bytes. Encoded on the host, in a microsecond or so.
CUtensorMap head_boxes(const ConstTensorView& view, int rows);

}  // namespace psagen::kernels::cuda
