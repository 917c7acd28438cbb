// One solver step as coefficients, so that solvers are tested without a tensor and the loop applies
// them with one op. All terms are float64.
#pragma once

#include <cstdint>
#include <vector>

namespace psagen::scheduler {

// The sampling loop keeps: x, the sample the model sees; x_last, the corrected sample of the last
// step; m[0], m[1], ...: data predictions x0 = x - sigma v, newest first.
//
//   corrected = corrector applied to (x_last, m...)      where has_corrector, else x itself
//   x_next    = predictor applied to (corrected, m...)
//   x_last    = corrected
struct StepPlan {
  double sigma = 0.0;     // noise level of x at this step
  double timestep = 0.0;  // what the model is given, 0..1000

  bool has_corrector = false;
  double corrector_x_last = 0.0;
  std::vector<double> corrector_m;  // on m[0], m[1], m[2]: m[0] is this step's prediction

  double predictor_x = 0.0;         // on the corrected sample
  std::vector<double> predictor_m;  // on m[0], m[1], ...
};

}  // namespace psagen::scheduler
