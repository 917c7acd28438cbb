// The densities of a step as its report gives them, fetched without keeping a GPU waiting: queued
// behind the step, looked at when it is done.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "engine/dit/attention_density.h"
#include "engine/pipeline/text_to_video.h"
#include "kernels/core/context.h"

namespace psagen::engine {

class DensityReport {
 public:
  // `wanted`: the numbers, not only which steps were sparse.
  DensityReport(Context& context, const AttentionDensity& density, bool wanted);

  // After a step has been queued.
  void fetch(std::int64_t step);
  // When the device is done with it.
  void write(std::int64_t step, StepReport& report) const;

 private:
  static constexpr int kSteps = 2;  // one running, one being looked at
  struct Step {
    std::vector<std::vector<std::uint8_t>> sparse;  // [forward][layer]
    Tensor copy;                                    // page-locked; unused on the CPU
  };

  DeviceRuntime* runtime_;
  const AttentionDensity& density_;
  bool wanted_;
  std::array<Step, kSteps> steps_;
};

}  // namespace psagen::engine
