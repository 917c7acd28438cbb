// Written out for order 2, every update of the paper is a linear combination of the sample and up
// to three data predictions. With s the start of a step, t its end, h = lambda_t - lambda_s and phi
// = e^-h - 1 = B(h):
//
//   base      = (sigma_t / sigma_s) x - alpha_t phi m_s                 exact part, paper's (5)
//   predictor = base - alpha_t phi sum_k rho_k (m_k - m_s) / r_k        UniP, paper's (3), data
//   form corrector = base - alpha_t phi (sum_k rho_k (m_k - m_s) / r_k + rho_p (m_t - m_s))    UniC
//
// where m_k are earlier predictions, r_k = (lambda_k - lambda_s) / h and the rho solve the order
// conditions R rho = b; with one unknown both sides use rho = 1/2, as the paper recommends.
#include "scheduler/unipc.h"

#include <algorithm>

#include "scheduler/half_log_snr.h"

namespace psagen::scheduler {
namespace {

// 1 / r for the prediction made at `sigma_before`; 0 in the limit of a start at sigma 1.
double inverse_ratio(double sigma_before, double sigma_start, double h) {
  return h / (lambda_of(sigma_before) - lambda_of(sigma_start));
}

struct CorrectorWeights {
  double before;  // rho_1, on (m_before - m_s) / r
  double end;     // rho_2, on m_t - m_s
};

// The 2 x 2 system rho_1 + rho_2 = b_1, r rho_1 + rho_2 = b_2, with b_n = n! phi_(n+1) h / phi.
CorrectorWeights solve_order_conditions(double h, double phi, double inverse_r) {
  const double phi_2 = phi / -h - 1.0;
  const double phi_3 = phi_2 / -h - 0.5;
  const double b_1 = phi_2 / phi;
  const double b_2 = 2.0 * phi_3 / phi;
  const double r = 1.0 / inverse_r;
  const double before = (b_1 - b_2) / (1.0 - r);
  return {before, b_1 - before};
}

// UniC over the step that ended at sigmas[i]; `order` is that of the predictor it follows.
void plan_corrector(const std::vector<double>& sigmas, std::size_t i, int order, StepPlan& plan) {
  const LambdaStep step(sigmas[i - 1], sigmas[i]);
  const double scale = -step.alpha * step.phi;
  plan.has_corrector = true;
  plan.corrector_x_last = step.ratio;
  if (order == 1) {
    plan.corrector_m = {0.5 * scale, 0.5 * scale};
    return;
  }
  const double inverse_r = inverse_ratio(sigmas[i - 2], sigmas[i - 1], step.h);
  const CorrectorWeights rho = solve_order_conditions(step.h, step.phi, inverse_r);
  const double on_before = rho.before * inverse_r;
  plan.corrector_m = {scale * rho.end, scale * (1.0 - on_before - rho.end), scale * on_before};
}

// UniP from sigmas[i] to sigmas[i + 1].
void plan_predictor(const std::vector<double>& sigmas, std::size_t i, int order, StepPlan& plan) {
  const LambdaStep step(sigmas[i], sigmas[i + 1]);
  const double scale = -step.alpha * step.phi;
  plan.predictor_x = step.ratio;
  if (order == 1) {
    plan.predictor_m = {scale};
    return;
  }
  const double on_before = 0.5 * inverse_ratio(sigmas[i - 1], sigmas[i], step.h);
  plan.predictor_m = {scale * (1.0 - on_before), scale * on_before};
}

}  // namespace

std::vector<StepPlan> plan_unipc(const NoiseSchedule& schedule) {
  const std::size_t num_steps = schedule.timesteps.size();
  std::vector<StepPlan> plans(num_steps);
  int order_last = 0;
  for (std::size_t i = 0; i < num_steps; ++i) {
    plans[i].sigma = schedule.sigmas[i];
    plans[i].timestep = schedule.timesteps[i];
    if (i > 0) plan_corrector(schedule.sigmas, i, order_last, plans[i]);
    // The first step has no history; the last would extrapolate to lambda = +inf.
    const int order = static_cast<int>(std::min({std::size_t{2}, num_steps - i, i + 1}));
    plan_predictor(schedule.sigmas, i, order, plans[i]);
    order_last = order;
  }
  return plans;
}

}  // namespace psagen::scheduler
