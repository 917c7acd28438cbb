// The one place that chooses between back ends.
#pragma once

#include <memory>

#include "kernels/ops.h"

namespace psagen::kernels {

// A context for options.device. For a GPU this opens the CUDA module of this installation; throws
// Error(kDevice) that says what is missing: the module, the driver, or the GPU.
std::unique_ptr<Context> make_context(const ContextOptions& options);

// The ops of the context's device. Throws Error(kDevice) where that device has no back end in this
// installation; there is no silent fall-back.
std::unique_ptr<Ops> make_ops(Context& context);

}  // namespace psagen::kernels
