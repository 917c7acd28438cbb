// DPM-Solver++(2M), midpoint form: second order, multistep, no corrector.
// Lu et al., "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models",
// arXiv:2211.01095, algorithm 2; spec/wan 5.4.
#pragma once

#include <vector>

#include "scheduler/noise_schedule.h"
#include "scheduler/step_plan.h"

namespace psagen::scheduler {

// Sigmas must fall strictly and end at 0.
std::vector<StepPlan> plan_dpmpp_2m(const NoiseSchedule& schedule);

}  // namespace psagen::scheduler
