#include "engine/pipeline/denoise_loop.h"

#include <algorithm>
#include <array>

namespace psagen::engine {
namespace {

using kernels::LinearTerm;
using scheduler::StepPlan;

// UniPC of order 2, the deepest of the solvers, looks at three predictions.
constexpr std::size_t kMaxHistory = 7;

std::size_t history_depth(std::span<const StepPlan> plans) {
  std::size_t depth = 1;
  for (const StepPlan& plan : plans)
    depth = std::max({depth, plan.corrector_m.size(), plan.predictor_m.size()});
  PSAGEN_CHECK(depth <= kMaxHistory, ErrorCode::kInternal, "a solver wants ", depth,
               " predictions, at most ", kMaxHistory, " are kept");
  return depth;
}

// y = first x + sum of on_history[i] * history[i]
void combine(kernels::Ops& ops, double first, ConstTensorView x, std::span<const double> on_history,
             const std::vector<Tensor>& history, TensorView y) {
  std::array<LinearTerm, kMaxHistory + 1> terms;
  terms[0] = {first, x};
  for (std::size_t i = 0; i < on_history.size(); ++i) terms[i + 1] = {on_history[i], history[i]};
  ops.linear_combination(std::span(terms).first(on_history.size() + 1), y);
}

}  // namespace

DenoiseLoop::DenoiseLoop(kernels::Ops& ops, const Shape& latent, std::span<const StepPlan> plans)
    : plans_(plans),
      velocity_(ops.context().allocator(), DType::kF32, latent),
      sample_last_(ops.context().allocator(), DType::kF32, latent) {
  for (std::size_t i = 0; i < history_depth(plans); ++i)
    history_.emplace_back(ops.context().allocator(), DType::kF32, latent);
}

void DenoiseLoop::run(kernels::Ops& ops, const VelocityModel& velocity, TensorView sample,
                      const StepDone& step_done) {
  for (std::size_t i = 0; i < plans_.size(); ++i) {
    const std::int64_t index = static_cast<std::int64_t>(i);
    const Profiler::Range range(ops.context().profiler(), "step", index);
    velocity(index, plans_[i], sample, velocity_);
    step(ops, plans_[i], sample);
    if (step_done) step_done(index, sample);
  }
}

void DenoiseLoop::step(kernels::Ops& ops, const StepPlan& plan, TensorView sample) {
  std::rotate(history_.begin(), history_.end() - 1, history_.end());
  ops.linear_combination(  // m = x - sigma v
      std::array{LinearTerm{1.0, sample}, LinearTerm{-plan.sigma, velocity_}}, history_[0]);
  if (plan.has_corrector)  // x_last = corrected sample
    combine(ops, plan.corrector_x_last, sample_last_, plan.corrector_m, history_, sample_last_);
  else
    ops.copy(sample, sample_last_);
  combine(ops, plan.predictor_x, sample_last_, plan.predictor_m, history_, sample);
}

}  // namespace psagen::engine
