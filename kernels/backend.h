// The one place that chooses between back ends.
#pragma once

#include <memory>

#include "kernels/ops.h"

namespace psagen::kernels {

// The ops of the context's device. Throws Error(kDevice) where that device has no back end in this
// installation; there is no silent fall-back.
std::unique_ptr<Ops> make_ops(Context& context);

}  // namespace psagen::kernels
