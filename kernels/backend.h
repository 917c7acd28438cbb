// The one place that chooses between back ends.
#pragma once

#include <memory>

#include "kernels/ops.h"

namespace psagen::kernels {

// A context for options.device. For a GPU this opens the CUDA module of this installation; throws
// Error(kDevice) that says what is missing: the module, the driver, or the GPU.
std::unique_ptr<Context> make_context(const ContextOptions& options);

// A context for options.device, a GPU, whose memory is counted and whose ops do nothing: what runs
// on it tells what it would take (allocator().peak_bytes(), and ops_reserve_bytes() for the ops
// themselves). Needs no GPU.
std::unique_ptr<Context> make_plan_context(const ContextOptions& options);
std::size_t ops_reserve_bytes();
// What the calls on ops of such a context would have computed so far, 2 for each multiply-add of
// products, convolutions and dense attention; 0 for other ops.
double planned_flops(const Ops& ops);

// The ops of the context's device. Throws Error(kDevice) where that device has no back end in this
// installation; there is no silent fall-back.
std::unique_ptr<Ops> make_ops(Context& context);

}  // namespace psagen::kernels
