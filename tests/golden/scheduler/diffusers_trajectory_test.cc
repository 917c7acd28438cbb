// Trajectories of the Diffusers schedulers in Wan's configuration on a small non-linear velocity
// field, written by scripts/golden_scheduler.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

#include "scheduler/solver.h"
#include "tests/support/integrate_plan.h"

namespace psagen::scheduler {
namespace {

struct Trajectory {
  std::string solver;
  std::int64_t num_steps = 0;
  double shift = 0.0;
  std::vector<double> sigmas, timesteps;
  std::vector<testing::State> states;
};

std::vector<Trajectory> read_trajectories() {
  std::ifstream file(PSAGEN_SOURCE_DIR "/tests/data/golden/scheduler_diffusers.txt");
  std::vector<Trajectory> trajectories;
  for (std::string line, key; std::getline(file, line);) {
    std::istringstream words(line);
    words >> key;
    if (key == "case") {
      Trajectory& run = trajectories.emplace_back();
      words >> run.solver >> run.num_steps >> run.shift;
      continue;
    }
    std::vector<double> values;
    for (double value; words >> value;) values.push_back(value);
    if (key == "sigmas") trajectories.back().sigmas = values;
    if (key == "timesteps") trajectories.back().timesteps = values;
    if (key == "x") trajectories.back().states.push_back(values);
  }
  return trajectories;
}

testing::State velocity(const testing::State& x, double sigma) {
  testing::State v(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double slope = 0.2 + 0.8 * static_cast<double>(i) / static_cast<double>(x.size() - 1);
    v[i] = slope * x[i] + 0.3 * std::sin(x[(i + 1) % x.size()]) - 0.25 * sigma + 0.1;
  }
  return v;
}

double norm(const testing::State& x) {
  double sum = 0.0;
  for (const double value : x) sum += value * value;
  return std::sqrt(sum);
}

TEST(DiffusersTrajectory, StepsPassThroughTheSamePoints) {
  const std::vector<Trajectory> runs = read_trajectories();
  ASSERT_EQ(runs.size(), 84u);
  for (const Trajectory& run : runs) {
    SCOPED_TRACE(run.solver + ", steps " + std::to_string(run.num_steps) + ", shift " +
                 std::to_string(run.shift));
    const auto plans = plan_steps(parse_solver(run.solver), run.num_steps, run.shift);
    ASSERT_EQ(plans.size(), run.timesteps.size());
    ASSERT_EQ(run.states.size(), plans.size() + 1);
    for (std::size_t i = 0; i < plans.size(); ++i) {
      EXPECT_EQ(plans[i].sigma, run.sigmas[i]) << "step " << i;
      EXPECT_EQ(plans[i].timestep, run.timesteps[i]) << "step " << i;
    }
    const auto states = testing::integrate_plan(plans, run.states[0], velocity);
    for (std::size_t i = 0; i < states.size(); ++i) {
      testing::State error = states[i];
      testing::add_scaled(error, -1.0, run.states[i]);
      EXPECT_LE(norm(error) / norm(run.states[i]), 1e-6) << "after step " << i;
    }
  }
}

}  // namespace
}  // namespace psagen::scheduler
