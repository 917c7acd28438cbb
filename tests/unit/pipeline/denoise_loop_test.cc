// The loop on tensors against the same plans on doubles.
#include "engine/pipeline/denoise_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/backend.h"
#include "scheduler/solver.h"
#include "tests/support/integrate_plan.h"

namespace psagen::engine {
namespace {

using scheduler::SolverKind;
using scheduler::StepPlan;

class DenoiseLoopTest : public ::testing::Test {
 protected:
  static double velocity(double x, double sigma) { return 0.75 * x - 0.25 * sigma + 0.1 * x * x; }

  // The loop's velocity model: the formula above on every element.
  static void fill_velocity(std::int64_t, const StepPlan& plan, ConstTensorView x, TensorView out) {
    for (std::int64_t i = 0; i < x.num_elements(); ++i)
      out.data<float>()[i] = static_cast<float>(velocity(x.data<float>()[i], plan.sigma));
  }

  Context context_;
  std::unique_ptr<kernels::Ops> ops_ = kernels::make_ops(context_);
};

TEST_F(DenoiseLoopTest, FollowsEverySolversPlan) {
  const Shape shape = {1, 2, 1, 3, 1};
  for (const SolverKind solver : {SolverKind::kUniPC, SolverKind::kDpmpp2M, SolverKind::kEuler}) {
    for (const std::int64_t num_steps : {1, 2, 3, 12, 50}) {
      const std::vector<StepPlan> plans = scheduler::plan_steps(solver, num_steps, 5.0);
      Tensor sample(context_.allocator(), DType::kF32, shape);
      testing::State start;
      for (int i = 0; i < 6; ++i) {
        sample.view().data<float>()[i] = 0.5f * static_cast<float>(i) - 1.25f;
        start.push_back(0.5 * i - 1.25);
      }
      const auto wanted =
          testing::integrate_plan(plans, start, [](const testing::State& x, double sigma) {
            testing::State v;
            for (const double value : x) v.push_back(velocity(value, sigma));
            return v;
          });

      std::int64_t calls = 0;
      DenoiseLoop(*ops_, shape, plans)
          .run(*ops_, fill_velocity, sample, [&](std::int64_t step, ConstTensorView x) {
            EXPECT_EQ(step, calls++);
            const testing::State& state = wanted[static_cast<std::size_t>(step) + 1];
            for (std::size_t i = 0; i < state.size(); ++i)
              EXPECT_NEAR(x.data<float>()[i], state[i], 1e-6 * std::max(1.0, std::abs(state[i])))
                  << scheduler::solver_name(solver) << ", step " << step << " of " << num_steps;
          });
      EXPECT_EQ(calls, num_steps);
    }
  }
}

TEST_F(DenoiseLoopTest, AllocatesNothingWhileItRuns) {
  const Shape shape = {1, 2, 3, 4, 6};
  const std::vector<StepPlan> plans = scheduler::plan_steps(SolverKind::kUniPC, 8, 3.0);
  Tensor sample(context_.allocator(), DType::kF32, shape);
  std::fill_n(sample.view().data<float>(), shape.num_elements(), 1.0f);
  DenoiseLoop loop(*ops_, shape, plans);
  const std::size_t before = context_.allocator().peak_bytes();
  ASSERT_EQ(context_.allocator().bytes_in_use(), before);
  loop.run(*ops_, fill_velocity, sample, {});
  EXPECT_EQ(context_.allocator().peak_bytes(), before);
}

}  // namespace
}  // namespace psagen::engine
