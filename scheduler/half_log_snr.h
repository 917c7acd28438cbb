// The time variable of the exponential integrators: lambda = ln(alpha / sigma), alpha = 1 - sigma
// (spec/wan 5.1). It is -inf at sigma 1 and +inf at sigma 0; the solvers' formulas take both as
// limits in IEEE arithmetic (1 / inf = 0, expm1(-inf) = -1), so neither end needs a case of its
// own.
#pragma once

#include <cmath>

namespace psagen::scheduler {

inline double alpha_of(double sigma) { return 1.0 - sigma; }

inline double lambda_of(double sigma) { return std::log(alpha_of(sigma)) - std::log(sigma); }

// From sigma `from` down to sigma `to`.
struct LambdaStep {
  LambdaStep(double from, double to)
      : h(lambda_of(to) - lambda_of(from)),
        phi(std::expm1(-h)),
        ratio(to / from),
        alpha(alpha_of(to)) {}

  double h;      // the distance in lambda
  double phi;    // e^-h - 1
  double ratio;  // to / from
  double alpha;  // at the end of the step
};

}  // namespace psagen::scheduler
