#include "scheduler/solver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "kernels/core/error.h"

namespace psagen::scheduler {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.message();
  }
  return "accepted";
}

TEST(ParseSolver, KnowsNamesAndAliases) {
  for (const char* name : {"unipc", "UniPC", "uni-pc"})
    EXPECT_EQ(parse_solver(name), SolverKind::kUniPC) << name;
  for (const char* name : {"dpm++", "dpm++-2m", "DPM++", "dpmpp", "dpmpp-2m", "dpmpp_2m"})
    EXPECT_EQ(parse_solver(name), SolverKind::kDpmpp2M) << name;
  EXPECT_EQ(parse_solver("euler"), SolverKind::kEuler);
}

TEST(ParseSolver, NamesReadBack) {
  for (const SolverKind kind : {SolverKind::kUniPC, SolverKind::kDpmpp2M, SolverKind::kEuler})
    EXPECT_EQ(parse_solver(solver_name(kind)), kind);
}

TEST(ParseSolver, NamesTheNearestForAnUnknownOne) {
  EXPECT_THAT(message_of([] { parse_solver("unpic"); }),
              AllOf(HasSubstr("'unpic'"), HasSubstr("did you mean 'unipc'")));
  EXPECT_THAT(message_of([] { parse_solver("eular"); }), HasSubstr("did you mean 'euler'"));
  EXPECT_THAT(message_of([] { parse_solver("dpm+"); }), HasSubstr("did you mean 'dpm++'"));
  EXPECT_THAT(message_of([] { parse_solver(""); }), HasSubstr("Known: unipc, dpm++, euler"));
}

TEST(PlanSteps, UsesTheScheduleDiffusersUsesWithEachSolver) {
  const std::pair<SolverKind, ScheduleKind> pairs[] = {
      {SolverKind::kUniPC, ScheduleKind::kDiffusersUniPC},
      {SolverKind::kDpmpp2M, ScheduleKind::kWanUniPC},
      {SolverKind::kEuler, ScheduleKind::kDiffusersEuler}};
  for (const auto& [solver, kind] : pairs) {
    SCOPED_TRACE(solver_name(solver));
    const NoiseSchedule schedule = make_schedule(kind, 7, 3.0);
    const std::vector<StepPlan> plans = plan_steps(solver, 7, 3.0);
    ASSERT_EQ(plans.size(), 7u);
    for (std::size_t i = 0; i < plans.size(); ++i) {
      EXPECT_EQ(plans[i].sigma, schedule.sigmas[i]);
      EXPECT_EQ(plans[i].timestep, schedule.timesteps[i]);
    }
  }
}

TEST(PlanSteps, UniPCCorrectsFromTheSecondStepAndEndsAtFirstOrder) {
  const std::vector<StepPlan> plans = plan_steps(SolverKind::kUniPC, 5, 5.0);
  EXPECT_FALSE(plans[0].has_corrector);
  EXPECT_EQ(plans[0].predictor_m.size(), 1u);
  EXPECT_EQ(plans[1].corrector_m.size(), 2u);  // follows the first-order first step
  EXPECT_EQ(plans[4].corrector_m.size(), 3u);
  EXPECT_EQ(plans[3].predictor_m.size(), 2u);
  EXPECT_EQ(plans[4].predictor_m.size(), 1u);
}

TEST(PlanSteps, TheLastStepReturnsThePrediction) {
  for (const SolverKind kind : {SolverKind::kUniPC, SolverKind::kDpmpp2M, SolverKind::kEuler}) {
    for (const std::int64_t num_steps : {1, 2, 9}) {
      const StepPlan last = plan_steps(kind, num_steps, 5.0).back();
      EXPECT_EQ(last.predictor_x, 0.0);
      EXPECT_EQ(last.predictor_m, std::vector<double>{1.0});
    }
  }
}

TEST(PlanSteps, RefusesAScheduleThatDoesNotFallToZero) {
  const SolverKind kind = SolverKind::kUniPC;
  EXPECT_THAT(message_of([=] {
                plan_steps(kind, NoiseSchedule{{1.0, 0.5, 0.5, 0.0}, {3, 2, 1}});
              }),
              HasSubstr("do not fall from step 1"));
  EXPECT_THAT(message_of([=] {
                plan_steps(kind, NoiseSchedule{{1.0, 0.5}, {1}});
              }),
              HasSubstr("wanted at most 1 to exactly 0"));
  EXPECT_THAT(message_of([=] {
                plan_steps(kind, NoiseSchedule{{1.5, 0.0}, {1}});
              }),
              HasSubstr("wanted at most 1 to exactly 0"));
  EXPECT_THAT(message_of([=] {
                plan_steps(kind, NoiseSchedule{{1.0, 0.0}, {1, 2}});
              }),
              HasSubstr("2 sigmas and 2 timesteps"));
  EXPECT_THAT(message_of([=] { plan_steps(kind, NoiseSchedule{}); }), HasSubstr("0 sigmas"));
  // So large a shift rounds neighbouring sigmas to the same float32.
  EXPECT_THAT(message_of([=] { plan_steps(kind, 50, 1e9); }), HasSubstr("the shift is too large"));
}

}  // namespace
}  // namespace psagen::scheduler
