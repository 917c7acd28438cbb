// Sigmas and timesteps of flow matching with shift (spec/wan 5.1, 5.2).
#pragma once

#include <cstdint>
#include <vector>

namespace psagen::scheduler {

// The published ways of choosing sigmas; spec/wan 5.2's letters.
enum class ScheduleKind {
  kWanUniPC,        // A: original UniPC, Diffusers up to 0.36, Diffusers DPM-Solver++
  kDiffusersUniPC,  // B: Diffusers UniPC from 0.37
  kLinear,          // C: original DPM++, plain Euler
  kDiffusersEuler,  // D: Diffusers FlowMatchEulerDiscreteScheduler
};

struct NoiseSchedule {
  std::vector<double> sigmas;     // num_steps + 1 values, falling, the last one 0
  std::vector<double> timesteps;  // num_steps values on the 0..1000 scale
};

NoiseSchedule make_schedule(ScheduleKind kind, std::int64_t num_steps, double shift);

}  // namespace psagen::scheduler
