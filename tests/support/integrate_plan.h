// The sampling loop on a handful of doubles: applies StepPlans exactly as step_plan.h says.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <vector>

#include "scheduler/step_plan.h"

namespace psagen::testing {

using State = std::vector<double>;
using VelocityField = std::function<State(const State& x, double sigma)>;

inline void add_scaled(State& y, double coefficient, const State& x) {
  for (std::size_t i = 0; i < y.size(); ++i) y[i] += coefficient * x[i];
}

// The state before the first step and after every step.
inline std::vector<State> integrate_plan(const std::vector<scheduler::StepPlan>& plans, State x,
                                         const VelocityField& velocity) {
  std::vector<State> states = {x};
  State x_last;
  std::deque<State> predictions;  // newest first
  for (const scheduler::StepPlan& plan : plans) {
    State prediction = x;
    add_scaled(prediction, -plan.sigma, velocity(x, plan.sigma));
    predictions.push_front(prediction);
    if (plan.has_corrector) {
      State corrected(x.size(), 0.0);
      add_scaled(corrected, plan.corrector_x_last, x_last);
      for (std::size_t k = 0; k < plan.corrector_m.size(); ++k)
        add_scaled(corrected, plan.corrector_m[k], predictions.at(k));
      x = corrected;
    }
    State next(x.size(), 0.0);
    add_scaled(next, plan.predictor_x, x);
    for (std::size_t k = 0; k < plan.predictor_m.size(); ++k)
      add_scaled(next, plan.predictor_m[k], predictions.at(k));
    x_last = x;
    x = next;
    states.push_back(x);
  }
  return states;
}

}  // namespace psagen::testing
