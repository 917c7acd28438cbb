// Zones and ranges of the program in NVIDIA's profilers (Nsight Systems, Nsight Compute).
#pragma once

#include <memory>

#include "kernels/core/profile.h"

namespace psagen::kernels::cuda {

// Null where no profiler is attached: NVTX is headers only and finds that out at its first call,
// so that a run without a profiler pays for nothing.
std::unique_ptr<RangeMarker> make_nvtx_ranges();

}  // namespace psagen::kernels::cuda
