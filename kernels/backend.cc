#include "kernels/backend.h"

#include "kernels/cpu/cpu_ops.h"

namespace psagen::kernels {

std::unique_ptr<Ops> make_ops(Context& context) {
  PSAGEN_CHECK(context.device().kind == DeviceKind::kCpu, ErrorCode::kDevice,
               "the CUDA back end is not part of this build");
  return std::make_unique<CpuOps>(context);
}

}  // namespace psagen::kernels
