// Classifier-free guidance as two coefficients (spec/wan 5.7):
// velocity = negative + scale (positive - negative).
#pragma once

namespace psagen::scheduler {

struct GuidanceWeights {
  double positive = 1.0;
  double negative = 0.0;

  // Without a negative part the model runs once a step instead of twice.
  bool needs_negative() const { return negative != 0.0; }
};

// A scale of 1 or less turns guidance off, as in the published programs.
inline GuidanceWeights guidance_weights(double scale) {
  if (!(scale > 1.0)) return {};
  return {scale, 1.0 - scale};
}

}  // namespace psagen::scheduler
