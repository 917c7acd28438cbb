// The transformer as the sampling loop sees it: velocity with classifier-free guidance (spec/wan
// 5.7), combined in float32.
#pragma once

#include <cstdint>

#include "engine/config/attention_config.h"
#include "engine/dit/dit.h"
#include "kernels/ops.h"
#include "scheduler/guidance.h"

namespace psagen::engine {

class GuidedModel {
 public:
  // `negative` may be empty where the guidance needs no negative prompt, `probe` null. All of it,
  // except the tensors made here, must outlive the model.
  GuidedModel(kernels::Ops& ops, const Dit& dit, const Shape& latent,
              const AttentionConfig& attention, scheduler::GuidanceWeights guidance,
              const TextContext& positive, const TextContext& negative,
              AttentionProbe* probe = nullptr);

  // velocity = wp forward(positive) + wn forward(negative), or the first alone.
  void operator()(kernels::Ops& ops, ConstTensorView latent, double timestep,
                  const StepPosition& position, TensorView velocity);

  std::int64_t num_tokens() const { return activations_.grid.num_tokens(); }
  // Of the last call.
  const AttentionDensity& density() const { return activations_.density; }
  void measure_density(bool wanted) { activations_.density.measure(wanted); }
  // DitActivations::nonfinite.
  ConstTensorView nonfinite() const { return activations_.nonfinite; }

 private:
  void begin_forward(const StepPosition& position, std::int64_t forward);

  const Dit& dit_;
  scheduler::GuidanceWeights guidance_;
  const TextContext& positive_;
  const TextContext& negative_;
  DitActivations activations_;
  Tensor negative_velocity_;
};

}  // namespace psagen::engine
