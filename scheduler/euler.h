// Euler's method on the flow-matching ODE: first order, the yardstick (spec/wan 5.5).
#pragma once

#include <vector>

#include "scheduler/noise_schedule.h"
#include "scheduler/step_plan.h"

namespace psagen::scheduler {

// Sigmas must fall strictly.
std::vector<StepPlan> plan_euler(const NoiseSchedule& schedule);

}  // namespace psagen::scheduler
