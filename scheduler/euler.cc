// x_(i+1) = x_i + (sigma_(i+1) - sigma_i) v with v = (x_i - m_i) / sigma_i, so
// x_(i+1) = q x_i + (1 - q) m_i, q = sigma_(i+1) / sigma_i.
#include "scheduler/euler.h"

namespace psagen::scheduler {

std::vector<StepPlan> plan_euler(const NoiseSchedule& schedule) {
  std::vector<StepPlan> plans(schedule.timesteps.size());
  for (std::size_t i = 0; i < plans.size(); ++i) {
    const double ratio = schedule.sigmas[i + 1] / schedule.sigmas[i];
    plans[i].sigma = schedule.sigmas[i];
    plans[i].timestep = schedule.timesteps[i];
    plans[i].predictor_x = ratio;
    plans[i].predictor_m = {1.0 - ratio};
  }
  return plans;
}

}  // namespace psagen::scheduler
