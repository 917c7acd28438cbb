// Zones timed by events on the stream that does their work.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <memory>

#include "kernels/core/profile.h"

namespace psagen::kernels::cuda {

// Two events a zone, 1 to 2 us of the stream's time, made for `zones` (at least one) that may be
// under way.
std::unique_ptr<ZoneClock> make_event_clock(cudaStream_t stream, std::size_t zones);

}  // namespace psagen::kernels::cuda
