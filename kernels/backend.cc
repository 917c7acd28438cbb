#include "kernels/backend.h"

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cuda/module.h"
#include "kernels/plan/plan_ops.h"
#include "kernels/plan/plan_runtime.h"

namespace psagen::kernels {

std::unique_ptr<Context> make_context(const ContextOptions& options) {
  if (options.device.kind == DeviceKind::kCpu) return std::make_unique<Context>(options);
  return std::make_unique<Context>(options, cuda::open_runtime(options));
}

std::unique_ptr<Context> make_plan_context(const ContextOptions& options) {
  return std::make_unique<Context>(options, std::make_unique<PlanRuntime>(options.device));
}

std::size_t ops_reserve_bytes() { return kOpsReserve; }

double planned_flops(const Ops& ops) {
  const auto* const plan = dynamic_cast<const PlanOps*>(&ops);
  return plan != nullptr ? plan->flops() : 0.0;
}

std::unique_ptr<Ops> make_ops(Context& context) {
  if (context.runtime() != nullptr) return context.runtime()->make_ops(context);
  return std::make_unique<CpuOps>(context);
}

}  // namespace psagen::kernels
