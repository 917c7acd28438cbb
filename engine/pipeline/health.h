// NaN and infinity are found where they arise and end the run with Error(kNumeric) that says where:
// a black video says nothing.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "kernels/ops.h"

namespace psagen::engine {

// Both look at the whole of `x` now, which on a GPU waits for it. `what` names it in the message.
bool is_finite(kernels::Ops& ops, ConstTensorView x);
void expect_finite(kernels::Ops& ops, ConstTensorView x, const std::string& what);

// The counters of a transformer's layers, step by step, without keeping a GPU waiting: they are
// fetched when a step has been queued and looked at when it is done.
class LayerHealth {
 public:
  // counters [layers + 1] I32 as DitActivations keeps them.
  LayerHealth(Context& context, ConstTensorView counters);

  // After a step has been queued; returns the ticket to wait for (0 on the CPU).
  std::uint64_t fetch(std::int64_t step);
  // After that. Throws Error(kNumeric) naming the step and the layer that was first.
  void check(std::int64_t step, std::int64_t num_steps) const;

 private:
  static constexpr int kSteps = 2;  // one running, one being looked at

  const Tensor& copy_of(std::int64_t step) const {
    return copies_[static_cast<std::size_t>(step % kSteps)];
  }

  DeviceRuntime* runtime_;
  ConstTensorView counters_;
  std::array<Tensor, kSteps> copies_;  // page-locked; unused on the CPU
};

}  // namespace psagen::engine
