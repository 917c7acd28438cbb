// The golden scalars of spec/wan 5.6: v(x, sigma) = 0.75 x - 0.25 sigma + 0.1 on one number, x = 1,
// 6 steps, shift 5. Printed with eight digits, said to agree to about 1e-6.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/solver.h"
#include "tests/support/integrate_plan.h"

namespace psagen::scheduler {
namespace {

struct GoldenRun {
  const char* name;
  SolverKind solver;
  ScheduleKind schedule;
  std::vector<double> x;  // after steps 1..6
};

const GoldenRun kGoldenRuns[] = {
    {"UniPC (A)",
     SolverKind::kUniPC,
     ScheduleKind::kWanUniPC,
     {.97690801, .94599460, .90238566, .83574485, .72156053, .46359275}},
    {"UniPC (B)",
     SolverKind::kUniPC,
     ScheduleKind::kDiffusersUniPC,
     {.97695030, .94608345, .90260010, .83615717, .72240872, .46341947}},
    {"DPM++ 2M (A)",
     SolverKind::kDpmpp2M,
     ScheduleKind::kWanUniPC,
     {.97690801, .94585995, .90203080, .83521541, .72085915, .46315423}},
    {"DPM++ 2M (C)",
     SolverKind::kDpmpp2M,
     ScheduleKind::kLinear,
     {.97692306, .94585800, .90204982, .83525573, .72090328, .46306455}},
    {"Euler (C)",
     SolverKind::kEuler,
     ScheduleKind::kLinear,
     {.97692306, .94585800, .90175792, .83414066, .71691907, .46057442}},
    {"Euler (D)",
     SolverKind::kEuler,
     ScheduleKind::kDiffusersEuler,
     {.97159780, .93058502, .86607177, .74928757, .46909051, .45820882}},
};

TEST(ToyModel, EverySolverGivesTheGoldenScalars) {
  for (const GoldenRun& run : kGoldenRuns) {
    SCOPED_TRACE(run.name);
    const auto plans = plan_steps(run.solver, make_schedule(run.schedule, 6, 5.0));
    const auto states = testing::integrate_plan(
        plans, {1.0}, [](const testing::State& x, double sigma) -> testing::State {
          return {0.75 * x[0] - 0.25 * sigma + 0.1};
        });
    ASSERT_EQ(states.size(), run.x.size() + 1);
    for (std::size_t i = 0; i < run.x.size(); ++i)
      EXPECT_NEAR(states[i + 1][0], run.x[i], 2e-8) << "after step " << i + 1;
  }
}

}  // namespace
}  // namespace psagen::scheduler
