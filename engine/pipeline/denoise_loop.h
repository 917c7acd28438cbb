// The sampling loop and nothing else: applies the coefficients a solver planned (scheduler/
// step_plan.h) to tensors. Latents stay float32 throughout (spec/wan 7.2).
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "kernels/core/tensor.h"
#include "kernels/ops.h"
#include "scheduler/step_plan.h"

namespace psagen::engine {

class DenoiseLoop {
 public:
  // Writes the velocity of `sample` at a step.
  using VelocityModel = std::function<void(std::int64_t step, const scheduler::StepPlan& plan,
                                           ConstTensorView sample, TensorView velocity)>;
  // Called after each step with the sample it produced.
  using StepDone = std::function<void(std::int64_t step, ConstTensorView sample)>;

  // Buffers for latents of that shape; the plans must outlive the loop.
  DenoiseLoop(kernels::Ops& ops, const Shape& latent, std::span<const scheduler::StepPlan> plans);

  // `sample` holds noise and in the end the denoised latent. Allocates nothing on the device.
  void run(kernels::Ops& ops, const VelocityModel& velocity, TensorView sample,
           const StepDone& step_done);

 private:
  void step(kernels::Ops& ops, const scheduler::StepPlan& plan, TensorView sample);

  std::span<const scheduler::StepPlan> plans_;
  Tensor velocity_;
  Tensor sample_last_;           // the corrected sample of the last step
  std::vector<Tensor> history_;  // data predictions, newest first
};

}  // namespace psagen::engine
