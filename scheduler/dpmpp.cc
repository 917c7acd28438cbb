// Algorithm 2 of the paper with h_i = lambda_(i+1) - lambda_i and r = h_(i-1) / h_i:
//
//   D       = (1 + 1 / (2 r)) m_i - 1 / (2 r) m_(i-1)
//   x_(i+1) = (sigma_(i+1) / sigma_i) x_i - alpha_(i+1) (e^-h_i - 1) D
//
// D = m_i (first order) at the first step, which has no history, and at the last, where h is
// infinite.
#include "scheduler/dpmpp.h"

#include "scheduler/half_log_snr.h"

namespace psagen::scheduler {

std::vector<StepPlan> plan_dpmpp_2m(const NoiseSchedule& schedule) {
  const std::vector<double>& sigmas = schedule.sigmas;
  const std::size_t num_steps = schedule.timesteps.size();
  std::vector<StepPlan> plans(num_steps);
  for (std::size_t i = 0; i < num_steps; ++i) {
    StepPlan& plan = plans[i];
    plan.sigma = sigmas[i];
    plan.timestep = schedule.timesteps[i];
    const LambdaStep step(sigmas[i], sigmas[i + 1]);
    const double scale = -step.alpha * step.phi;
    plan.predictor_x = step.ratio;
    if (i == 0 || i + 1 == num_steps) {
      plan.predictor_m = {scale};
    } else {
      const double half_inverse_r = 0.5 * step.h / LambdaStep(sigmas[i - 1], sigmas[i]).h;
      plan.predictor_m = {scale * (1.0 + half_inverse_r), -scale * half_inverse_r};
    }
  }
  return plans;
}

}  // namespace psagen::scheduler
