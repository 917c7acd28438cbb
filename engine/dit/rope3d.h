// Rotary position embedding split over (T, H, W) (spec/wan 3.4).
#pragma once

#include <cstdint>
#include <span>

#include "kernels/core/tensor.h"
#include "kernels/ops.h"
#include "kernels/psa/token_order.h"

namespace psagen::engine {

struct RopeTables {
  Tensor cos;  // [L, D / 2] float32, row l for the l-th token in the model's order
  Tensor sin;
};

// Adjacent pairs of a head rotate with the frame index, then the row's, then the column's: D / 6
// pairs each for rows and columns, the rest for frames; pair i of an axis with n of them by
// position
// * 10000^(-i / n). Angles are float64: at position 1023 a float32 angle is off by 3e-5.
// `order` is the token order (raster index of each token), empty for raster order.
RopeTables make_rope_tables(kernels::Ops& ops, const kernels::TokenGrid& grid,
                            std::int64_t head_dim, std::span<const std::int32_t> order);

}  // namespace psagen::engine
