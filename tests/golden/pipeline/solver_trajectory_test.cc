// The sampling loop on tensors against the schedulers of diffusers, step by step.
#include <gtest/gtest.h>

#include "engine/pipeline/denoise_loop.h"
#include "kernels/backend.h"
#include "scheduler/solver.h"
#include "tests/support/formula_weights.h"
#include "tests/support/golden_fixture.h"

namespace psagen::engine {
namespace {

using testing::GoldenFixture;
using testing::Json;

constexpr double kMaxRelativeL2 = 1e-6;

// The velocity field of scripts/export_golden.py.
void fill_velocity(std::int64_t, const scheduler::StepPlan& plan, ConstTensorView x,
                   TensorView velocity) {
  const float sigma = static_cast<float>(plan.sigma);
  for (std::int64_t i = 0; i < x.num_elements(); ++i) {
    const float value = x.data<float>()[i];
    velocity.data<float>()[i] = 0.75f * value - 0.25f * sigma + 0.1f * value * value;
  }
}

TEST(SolverTrajectoryTest, AgreesWithDiffusersAfterEveryStep) {
  const GoldenFixture golden("trajectory");
  const Shape shape = testing::shape_from(golden.json().at("shape"));
  const std::size_t count = static_cast<std::size_t>(shape.num_elements());
  Context context;
  const std::unique_ptr<kernels::Ops> ops = kernels::make_ops(context);
  for (const Json& golden_case : golden.json().at("cases")) {
    const std::string label = golden_case.at("label");
    const std::vector<scheduler::StepPlan> plans =
        scheduler::plan_steps(scheduler::parse_solver(golden_case.at("solver")),
                              golden_case.at("num_steps"), golden_case.at("shift"));
    Tensor sample =
        testing::tensor_of(context.allocator(), shape, testing::formula_values("x", shape));
    const std::span<const float> wanted = golden.values<float>(label);
    ASSERT_EQ(wanted.size(), plans.size() * count) << label;
    double worst = 0.0;
    DenoiseLoop(*ops, shape, plans)
        .run(*ops, fill_velocity, sample, [&](std::int64_t step, ConstTensorView x) {
          const double error = testing::relative_l2(
              testing::floats_of(x), wanted.subspan(static_cast<std::size_t>(step) * count, count));
          EXPECT_LE(error, kMaxRelativeL2) << label << ", step " << step;
          worst = std::max(worst, error);
        });
    RecordProperty(label, concat(worst));
  }
}

}  // namespace
}  // namespace psagen::engine
