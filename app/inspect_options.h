// What `psa-gen inspect attention` can be told: the clip as `generate` is told, and where to look.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "app/options.h"
#include "engine/inspect/attention_inspector.h"

namespace psagen::app {

// `attention` is the run's own (--along), `output` the picture.
struct InspectOptions : GenerateOptions {
  std::optional<std::string> tried;  // --attention
  std::optional<std::int64_t> step;
  std::optional<std::int64_t> layer;
  std::optional<std::int64_t> head;
  std::optional<std::int64_t> forward;
  std::optional<std::string> steps_at;
  std::optional<std::string> layers;
  std::optional<std::string> json;
};

std::vector<Field<InspectOptions>> inspect_table();

// The arguments after `inspect attention`. Throws Error(kInvalidArgument).
InspectOptions parse_inspect_options(std::span<const std::string> arguments);

// --attention, cut at its commas. Throws Error(kInvalidArgument).
std::vector<engine::AttentionConfig> tried_attentions(const InspectOptions& options);

// Where to look, once the model and the clip are known. Throws Error(kInvalidArgument) that names
// the flag, the value found and the bounds.
struct InspectBounds {
  std::int64_t num_steps = 0, num_layers = 0, num_heads = 0;
  bool has_negative = false;  // a second forward each step
};
engine::InspectedPlaces resolve_places(const InspectOptions& options, const InspectBounds& bounds);

}  // namespace psagen::app
