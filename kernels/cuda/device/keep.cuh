// A value held in one register.
#pragma once

namespace psagen::kernels::cuda {

// What the compiler would derive from the value once for all turns of a loop is derived anew, where
// it would not fit into registers.
template <typename Value>
__device__ inline void keep(Value& value) {
  if constexpr (sizeof(Value) == 8)
    asm volatile("" : "+l"(value));
  else
    asm volatile("" : "+r"(value));
}

}  // namespace psagen::kernels::cuda
