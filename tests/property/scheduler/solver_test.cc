// Laws every solver obeys, whatever the model.
#include "scheduler/solver.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/support/integrate_plan.h"

namespace psagen::scheduler {
namespace {

using testing::State;

constexpr SolverKind kSolvers[] = {SolverKind::kUniPC, SolverKind::kDpmpp2M, SolverKind::kEuler};
constexpr ScheduleKind kSchedules[] = {ScheduleKind::kWanUniPC, ScheduleKind::kDiffusersUniPC,
                                       ScheduleKind::kLinear, ScheduleKind::kDiffusersEuler};

TEST(SolverLaws, SigmasFallStrictlyToZero) {
  for (const ScheduleKind kind : kSchedules) {
    for (std::int64_t num_steps = 1; num_steps <= 1000; num_steps += num_steps < 60 ? 1 : 157) {
      for (const double shift : {0.5, 1.0, 3.0, 5.0, 8.0, 12.0, 16.0}) {
        const NoiseSchedule schedule = make_schedule(kind, num_steps, shift);
        ASSERT_EQ(schedule.sigmas.size(), static_cast<std::size_t>(num_steps) + 1);
        ASSERT_LE(schedule.sigmas.front(), 1.0);
        ASSERT_EQ(schedule.sigmas.back(), 0.0);
        for (std::size_t i = 1; i < schedule.sigmas.size(); ++i)
          ASSERT_LT(schedule.sigmas[i], schedule.sigmas[i - 1])
              << "kind " << static_cast<int>(kind) << " steps " << num_steps << " shift " << shift;
        for (std::size_t i = 0; i < schedule.timesteps.size(); ++i)
          ASSERT_NEAR(schedule.timesteps[i], 1000.0 * schedule.sigmas[i], 1.001);
      }
    }
  }
}

TEST(SolverLaws, ConstantVelocityIsIntegratedExactly) {
  for (std::uint32_t seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    std::normal_distribution<double> normal;
    const State start = {normal(random), normal(random), normal(random)};
    const State v = {normal(random), normal(random), normal(random)};
    const auto num_steps = static_cast<std::int64_t>(1 + random() % 60);
    const double shift = 1.0 + static_cast<double>(random() % 120) / 10.0;
    for (const SolverKind solver : kSolvers) {
      for (const ScheduleKind kind : kSchedules) {
        const NoiseSchedule schedule = make_schedule(kind, num_steps, shift);
        const auto states = testing::integrate_plan(plan_steps(solver, schedule), start,
                                                    [&](const State&, double) { return v; });
        for (std::size_t i = 0; i < states.size(); ++i)
          for (std::size_t k = 0; k < v.size(); ++k)
            ASSERT_NEAR(states[i][k], start[k] + (schedule.sigmas[i] - schedule.sigmas[0]) * v[k],
                        1e-12)
                << "seed " << seed << ", " << solver_name(solver) << ", kind "
                << static_cast<int>(kind) << ", after step " << i;
      }
    }
  }
}

// A smooth, coupled, non-linear field.
State swirl(const State& x, double sigma) {
  return {0.8 * std::sin(x[1]) + 0.4 * x[0] - 0.3 * sigma,
          0.6 * std::cos(x[0] + sigma) - 0.5 * x[1] + 0.2};
}

// The same field integrated by the classical Runge-Kutta method in 20000 steps.
State reference_solution(State x, double sigma, double end) {
  constexpr int kSteps = 20000;
  const double h = (end - sigma) / kSteps;
  const auto moved = [](State state, double by, const State& along) {
    testing::add_scaled(state, by, along);
    return state;
  };
  for (int i = 0; i < kSteps; ++i, sigma += h) {
    const State k1 = swirl(x, sigma);
    const State k2 = swirl(moved(x, h / 2, k1), sigma + h / 2);
    const State k3 = swirl(moved(x, h / 2, k2), sigma + h / 2);
    const State k4 = swirl(moved(x, h, k3), sigma + h);
    for (std::size_t k = 0; k < x.size(); ++k)
      x[k] += h / 6 * (k1[k] + 2 * k2[k] + 2 * k3[k] + k4[k]);
  }
  return x;
}

constexpr double kFirstSigma = 0.9;
constexpr double kSigmaOfComparison = 0.15;

// Equal steps in lambda = ln((1 - sigma) / sigma), the variable the solvers' orders are stated in,
// and then one step to 0 that the comparison leaves out.
NoiseSchedule even_in_lambda(std::int64_t num_steps) {
  const auto lambda = [](double sigma) { return std::log((1.0 - sigma) / sigma); };
  const double first = lambda(kFirstSigma), last = lambda(kSigmaOfComparison);
  NoiseSchedule schedule;
  for (std::int64_t i = 0; i <= num_steps; ++i) {
    const double share = static_cast<double>(i) / static_cast<double>(num_steps);
    schedule.sigmas.push_back(1.0 / (1.0 + std::exp(first + share * (last - first))));
    schedule.timesteps.push_back(1000.0 * schedule.sigmas.back());
  }
  schedule.sigmas.push_back(0.0);
  return schedule;
}

double error_after(SolverKind solver, std::int64_t num_steps) {
  const State start = {0.9, -1.3};
  const auto states =
      testing::integrate_plan(plan_steps(solver, even_in_lambda(num_steps)), start, swirl);
  const State exact = reference_solution(start, kFirstSigma, kSigmaOfComparison);
  const State& end = states[static_cast<std::size_t>(num_steps)];
  return std::hypot(end[0] - exact[0], end[1] - exact[1]);
}

// log2 of how much the error falls when the steps double.
double observed_order(SolverKind solver, std::int64_t num_steps) {
  return std::log2(error_after(solver, num_steps) / error_after(solver, 2 * num_steps));
}

TEST(SolverLaws, ErrorFallsAtTheStatedOrder) {
  for (const std::int64_t num_steps : {80, 160, 320}) {
    SCOPED_TRACE(num_steps);
    EXPECT_NEAR(observed_order(SolverKind::kEuler, num_steps), 1.0, 0.1);
    EXPECT_NEAR(observed_order(SolverKind::kDpmpp2M, num_steps), 2.0, 0.1);
    // The corrector raises the order 2 of the predictor by one.
    EXPECT_NEAR(observed_order(SolverKind::kUniPC, num_steps), 3.0, 0.1);
  }
}

}  // namespace
}  // namespace psagen::scheduler
