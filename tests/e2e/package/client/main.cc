// A program outside the repository: a schedule from psagen::scheduler, an op from psagen::kernels,
// both reached through psagen::engine.
#include <array>
#include <cmath>
#include <iostream>
#include <memory>

#include "engine/pipeline/text_to_video.h"
#include "kernels/backend.h"
#include "kernels/core/context.h"
#include "kernels/core/tensor.h"
#include "kernels/ops.h"
#include "scheduler/solver.h"

int main() {
  using namespace psagen;
  const auto steps = scheduler::plan_steps(scheduler::SolverKind::kUniPC, 20, 3.0);

  Context context;
  const std::unique_ptr<kernels::Ops> ops = kernels::make_ops(context);
  Tensor x(context.allocator(), DType::kF32, {1, 4});
  Tensor gamma(context.allocator(), DType::kF32, {4});
  for (int i = 0; i < 4; ++i) {
    x.view().data<float>()[i] = 3.0f;
    gamma.view().data<float>()[i] = 1.0f;
  }
  ops->rms_norm({.x = x, .gamma = gamma, .eps = 1e-6, .y = x});
  const float norm = x.view().data<float>()[0];

  std::cout << steps.size() << " steps from sigma " << std::round(steps.front().sigma) << ", norm "
            << std::round(norm * 1000.0f) / 1000.0f << "\n";
}
