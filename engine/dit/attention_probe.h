// Somebody who looks at self-attention while a clip is made: at what the layers compute it from, so
// that other ways to compute it can be tried on the same values.
#pragma once

#include <cstdint>

#include "engine/dit/attention_policy.h"
#include "kernels/ops.h"

namespace psagen::engine {

// Where the device is, in the order the clip's tokens have (DitActivations::order).
struct AttentionInputs {
  ConstTensorView q, k;  // [1, L, N, D] of Context::score_dtype(), normed and rotated
  ConstTensorView v;     // [1, L, N, D] of Context::compute_dtype()
  double scale = 1.0;
};

class AttentionProbe {
 public:
  virtual ~AttentionProbe() = default;

  // What is attended up to the next call belongs to this forward of this step: 0 with the prompt, 1
  // with the negative one.
  virtual void begin_forward(const StepPosition& position, std::int64_t forward) = 0;
  // A layer has attended, densely or not. The inputs are its own buffers: unchanged still, and
  // overwritten afterwards.
  virtual void attended(kernels::Ops& ops, std::int64_t layer, const AttentionInputs& inputs) = 0;
};

}  // namespace psagen::engine
