// The ring that tiles of keys and of values share, in the order of their use: keys of tile t,
// values of tile t - 1, keys of tile t + 1, and so on over all jobs of a block of threads. Five
// tiles of 32 KB fit where two rings of two would leave one unused, and each has half a tile's time
// more to arrive in.
#pragma once

#include <cstdint>

#include "kernels/cuda/device/hopper.cuh"

namespace psagen::kernels::cuda {

// Of a ring, as RingPlace, but worked out already.
struct RingSlot {
  std::uint32_t index, phase;

  __device__ std::uint32_t slot() const { return index; }
  __device__ std::uint32_t parity() const { return phase; }
};

// Where a tile's keys are. The values before those of the first tile are a slot that nobody fills
// or empties: skip_first_values().
template <int kSlots>
struct TilePlace {
  std::uint32_t count = 0;  // tiles before
  RingSlot keys = {0, 0};

  __device__ RingSlot values_before() const { return after(1); }  // of tile count - 1
  __device__ RingSlot values() const { return next().values_before(); }
  __device__ TilePlace next() const { return {count + 1, after(2)}; }

 private:
  __device__ RingSlot after(std::uint32_t steps) const {
    const std::uint32_t index = keys.index + steps;
    const bool wraps = index >= kSlots;
    return {wraps ? index - kSlots : index, keys.phase ^ static_cast<std::uint32_t>(wraps)};
  }
};

// By one thread, once the barriers are there, on which `loaders` and `consumers` threads arrive.
template <typename Ring>
__device__ inline void skip_first_values(Ring& ring, int loaders, int consumers) {
  for (int i = 0; i < loaders; ++i) arrive(&ring.full[1]);
  for (int i = 0; i < consumers; ++i) arrive(&ring.empty[1]);
}

}  // namespace psagen::kernels::cuda
