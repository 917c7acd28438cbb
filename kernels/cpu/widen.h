// Weights of any stored type as float32.
#pragma once

#include <cstdint>

#include "kernels/core/allocator.h"
#include "kernels/core/tensor.h"

namespace psagen::kernels::cpu {

// `count` elements of F32, BF16 or F16, one after the other.
void widen(const std::byte* source, DType dtype, std::int64_t count, float* out);

// The view's own memory where it is float32, else a widened copy in the scope's scratch memory.
// Null for an empty view. The view is contiguous.
const float* as_floats(const ConstTensorView& view, Workspace::Scope& scratch);

}  // namespace psagen::kernels::cpu
