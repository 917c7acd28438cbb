// UniPC, a predictor-corrector of order 2 that spends one model call a step.
// Zhao et al., "UniPC: A Unified Predictor-Corrector Framework for Fast Sampling of Diffusion
// Models", arXiv:2302.04867: data prediction, B(h) = e^-h - 1 ("bh2"); spec/wan 5.3.
#pragma once

#include <vector>

#include "scheduler/noise_schedule.h"
#include "scheduler/step_plan.h"

namespace psagen::scheduler {

// Sigmas must fall strictly and end at 0.
std::vector<StepPlan> plan_unipc(const NoiseSchedule& schedule);

}  // namespace psagen::scheduler
