#include "engine/dit/attention_policy.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

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

using HeadBounds = std::vector<kernels::LevelBounds>;

// AttentionChoice::head_bounds of a layer at a step; nothing where it is dense.
std::optional<HeadBounds> bounds_at(const AttentionConfig& config, std::int64_t step,
                                    std::int64_t layer, std::int64_t num_heads) {
  HeadBounds bounds;
  std::int64_t num_dense = 0;
  for (std::int64_t head = 0; head < num_heads && !config.overrides.empty(); ++head) {
    const auto entry =
        std::find_if(config.overrides.rbegin(), config.overrides.rend(),
                     [&](const auto& one) { return one.matches(layer, head, step); });
    if (entry == config.overrides.rend()) continue;
    if (bounds.empty()) bounds.assign(static_cast<std::size_t>(num_heads), config.psa.level_bounds);
    bounds[static_cast<std::size_t>(head)] = entry->level_bounds;
    num_dense += entry->is_dense() ? 1 : 0;
  }
  if (num_heads > 0 && num_dense == num_heads) return std::nullopt;
  return bounds;
}

// Whether a layer's levels of an earlier step still serve at this one: they are chosen anew after
// reuse_steps sparse steps, and where the bounds are others.
bool is_served(const AttentionConfig& config, const StepPosition& position, std::int64_t layer,
               std::int64_t num_heads) {
  if (config.reuse_steps == 1) return false;
  std::optional<HeadBounds> chosen;
  std::int64_t served = 0;
  for (std::int64_t step = num_warmup_steps(config, position.num_steps); step <= position.step;
       ++step) {
    const std::optional<HeadBounds> bounds = bounds_at(config, step, layer, num_heads);
    if (!bounds) continue;
    served = bounds == chosen && served < config.reuse_steps ? served + 1 : 1;
    chosen = bounds;
  }
  return served > 1;
}

}  // namespace

std::int64_t num_warmup_steps(const AttentionConfig& config, std::int64_t num_steps) {
  if (config.warmup_steps >= 0) return std::min(config.warmup_steps, num_steps);
  // A share of 0.3 of 50 steps is 15, though 0.3 * 50 is a little more in binary.
  const double steps = config.warmup_share * static_cast<double>(num_steps);
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(std::ceil(steps - 1e-9)), 0, num_steps);
}

AttentionChoice choose_attention(const AttentionConfig& config, const StepPosition& position,
                                 std::int64_t layer, std::int64_t num_heads) {
  if (config.kind == AttentionKind::kDense) return {};
  if (position.step < num_warmup_steps(config, position.num_steps)) return {};
  std::optional<HeadBounds> bounds = bounds_at(config, position.step, layer, num_heads);
  if (!bounds) return {};
  const std::uint64_t run_seed = mix(config.psa.seed);
  const std::uint64_t step_seed = mix(run_seed ^ static_cast<std::uint64_t>(position.step));
  AttentionChoice choice;
  choice.kind = AttentionKind::kPyramid;
  choice.seed = mix(step_seed ^ static_cast<std::uint64_t>(layer));
  choice.head_bounds = std::move(*bounds);
  choice.reuse = (config.reuse_across_guidance && position.forward > 0) ||
                 is_served(config, position, layer, num_heads);
  if (config.reuse_across_guidance)
    choice.slot = layer;
  else if (config.reuse_steps > 1)
    choice.slot = layer * position.num_forwards + position.forward;
  return choice;
}

std::int64_t num_level_slots(const AttentionConfig& config, std::int64_t num_layers,
                             std::int64_t num_forwards) {
  if (config.reuse_across_guidance) return num_layers;
  return config.reuse_steps > 1 ? num_layers * num_forwards : 0;
}

}  // namespace psagen::engine
