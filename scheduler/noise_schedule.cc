// Sigma tables (spec/wan 5.2). The order of operations follows the published programs, because the
// timesteps are truncated and 1000 sigma may lie within an ulp of an integer: linspace, shift and
// timestep in float64, then sigma rounded to float32, which is what those programs store.
#include "scheduler/noise_schedule.h"

#include <cmath>

#include "kernels/core/error.h"

namespace psagen::scheduler {
namespace {

constexpr double kTrainTimesteps = 1000.0;

double shifted(double sigma, double shift) { return shift * sigma / (1.0 + (shift - 1.0) * sigma); }

// `count` values from `first` to `last` inclusive, rounded like numpy.linspace.
std::vector<double> linspace(double first, double last, std::int64_t count) {
  std::vector<double> values(static_cast<std::size_t>(count), first);
  if (count < 2) return values;
  const double step = (last - first) / static_cast<double>(count - 1);
  for (std::int64_t i = 0; i < count; ++i) values[i] = static_cast<double>(i) * step + first;
  values.back() = last;
  return values;
}

double stored(double sigma) { return static_cast<double>(static_cast<float>(sigma)); }

// A: 1 - linspace(1, 1/1000, N + 1), from the noisy end.
std::vector<double> wan_unipc_sigmas(std::int64_t num_steps, double shift) {
  const std::vector<double> alphas = linspace(1.0, 1.0 / kTrainTimesteps, num_steps + 1);
  std::vector<double> sigmas;
  for (std::int64_t i = num_steps; i > 0; --i) sigmas.push_back(shifted(1.0 - alphas[i], shift));
  return sigmas;
}

// B: linspace(1, 1/1000, N + 1) without its last value. The first sigma is kept off 1, where lambda
// = ln((1 - sigma) / sigma) has its pole.
std::vector<double> diffusers_unipc_sigmas(std::int64_t num_steps, double shift) {
  constexpr double kFromPole = 1e-6;
  std::vector<double> sigmas = linspace(1.0, 1.0 / kTrainTimesteps, num_steps + 1);
  sigmas.pop_back();
  for (double& sigma : sigmas) sigma = shifted(sigma, shift);
  if (std::abs(sigmas[0] - 1.0) < kFromPole) sigmas[0] -= kFromPole;
  return sigmas;
}

// C: 1 - i / N.
std::vector<double> linear_sigmas(std::int64_t num_steps, double shift) {
  std::vector<double> sigmas = linspace(1.0, 0.0, num_steps + 1);
  sigmas.pop_back();
  for (double& sigma : sigmas) sigma = shifted(sigma, shift);
  return sigmas;
}

// D: the training table (float32, shifted once) gives the two ends; what lies between is shifted
// once more. The round trip through timesteps rounds as Diffusers does.
std::vector<double> diffusers_euler_sigmas(std::int64_t num_steps, double shift) {
  const float k = static_cast<float>(shift);
  const float unshifted_min = 1.0f / static_cast<float>(kTrainTimesteps);
  const float sigma_min =
      k * unshifted_min / (1.0f + static_cast<float>(shift - 1.0) * unshifted_min);
  std::vector<double> sigmas =
      linspace(kTrainTimesteps, static_cast<double>(sigma_min) * kTrainTimesteps, num_steps);
  for (double& sigma : sigmas) sigma = shifted(sigma / kTrainTimesteps, shift);
  return sigmas;
}

std::vector<double> make_sigmas(ScheduleKind kind, std::int64_t num_steps, double shift) {
  switch (kind) {
    case ScheduleKind::kWanUniPC:
      return wan_unipc_sigmas(num_steps, shift);
    case ScheduleKind::kDiffusersUniPC:
      return diffusers_unipc_sigmas(num_steps, shift);
    case ScheduleKind::kLinear:
      return linear_sigmas(num_steps, shift);
    case ScheduleKind::kDiffusersEuler:
      return diffusers_euler_sigmas(num_steps, shift);
  }
  throw Error(ErrorCode::kInternal, "unknown schedule kind");
}

}  // namespace

NoiseSchedule make_schedule(ScheduleKind kind, std::int64_t num_steps, double shift) {
  PSAGEN_CHECK(num_steps >= 1 && num_steps <= 1000, ErrorCode::kInvalidArgument, "steps is ",
               num_steps, ", wanted 1 to 1000");
  PSAGEN_CHECK(std::isfinite(shift) && shift > 0.0, ErrorCode::kInvalidArgument, "shift is ", shift,
               ", wanted a finite number above 0");
  const bool truncates = kind == ScheduleKind::kWanUniPC || kind == ScheduleKind::kDiffusersUniPC;
  NoiseSchedule schedule;
  for (const double sigma : make_sigmas(kind, num_steps, shift)) {
    schedule.sigmas.push_back(stored(sigma));
    schedule.timesteps.push_back(truncates ? std::trunc(sigma * kTrainTimesteps)
                                           : stored(stored(sigma) * kTrainTimesteps));
  }
  schedule.sigmas.push_back(0.0);
  return schedule;
}

}  // namespace psagen::scheduler
