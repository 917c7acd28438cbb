#include "engine/dit/attention_policy.h"

#include <algorithm>
#include <cmath>

namespace psagen::engine {
namespace {

// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): neighbouring steps and layers get
// unrelated seeds.
std::uint64_t mix(std::uint64_t value) {
  value += 0x9e3779b97f4a7c15u;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

}  // namespace

std::int64_t num_warmup_steps(const AttentionConfig& config, std::int64_t num_steps) {
  if (config.warmup_steps >= 0) return std::min(config.warmup_steps, num_steps);
  // A share of 0.3 of 50 steps is 15, though 0.3 * 50 is a little more in binary.
  const double steps = config.warmup_share * static_cast<double>(num_steps);
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(std::ceil(steps - 1e-9)), 0, num_steps);
}

AttentionChoice choose_attention(const AttentionConfig& config, const StepPosition& position,
                                 std::int64_t layer) {
  if (config.kind == AttentionKind::kDense) return {};
  if (position.step < num_warmup_steps(config, position.num_steps)) return {};
  const std::uint64_t run_seed = mix(config.psa.seed);
  const std::uint64_t step_seed = mix(run_seed ^ static_cast<std::uint64_t>(position.step));
  return {.kind = AttentionKind::kPyramid,
          .seed = mix(step_seed ^ static_cast<std::uint64_t>(layer))};
}

}  // namespace psagen::engine
