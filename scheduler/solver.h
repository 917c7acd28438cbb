// Solvers of the flow-matching ODE as lists of StepPlans. Pure maths in double.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "scheduler/noise_schedule.h"
#include "scheduler/step_plan.h"

namespace psagen::scheduler {

enum class SolverKind { kUniPC, kDpmpp2M, kEuler };

// "unipc", "dpm++" and "euler"; throws Error(kInvalidArgument) naming the nearest for another.
SolverKind parse_solver(const std::string& name);
const char* solver_name(SolverKind kind);

// All steps of a run, on the schedule Diffusers uses with that solver: B for UniPC, A for DPM++, D
// for Euler. Throws Error(kInvalidArgument) for num_steps < 1 or > 1000, shift <= 0, or a shift so
// far from 1 that neighbouring sigmas round to the same float32.
std::vector<StepPlan> plan_steps(SolverKind kind, std::int64_t num_steps, double shift);
// The same on a schedule of the caller's choice (comparison with other programs).
std::vector<StepPlan> plan_steps(SolverKind kind, const NoiseSchedule& schedule);

}  // namespace psagen::scheduler
