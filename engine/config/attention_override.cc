#include "engine/config/attention_override.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "engine/config/json_fields.h"

namespace psagen::engine {
namespace {

bool contains(const std::vector<IndexRange>& ranges, std::int64_t index) {
  return ranges.empty() || std::any_of(ranges.begin(), ranges.end(), [&](const IndexRange& range) {
           return range.first <= index && index <= range.last;
         });
}

JsonField ranges_field(std::string name, std::vector<IndexRange>& ranges) {
  return {std::move(name), false, [&ranges](const JsonValue& value) {
            read_value(value, ranges);
            if (ranges.empty()) value.fail_type("at least one number or [first, last]");
          }};
}

}  // namespace

bool AttentionOverride::matches(std::int64_t layer, std::int64_t head, std::int64_t step) const {
  return contains(layers, layer) && contains(heads, head) && contains(steps, step);
}

void read_value(const JsonValue& value, IndexRange& range) {
  if (value.is_array()) {
    std::array<std::int64_t, 2> ends{};
    read_value(value, ends);
    range = {ends[0], ends[1]};
  } else {
    read_value(value, range.first);
    range.last = range.first;
  }
  if (range.first < 0 || range.last < range.first)
    value.fail_type("a number from 0 on, or [first, last]");
}

void read_value(const JsonValue& value, AttentionOverride& entry) {
  std::optional<std::string> attention;
  std::optional<kernels::LevelBounds> level_bounds;
  read_fields(value, UnknownKeys::kRefuse,
              {ranges_field("layers", entry.layers), ranges_field("heads", entry.heads),
               ranges_field("steps", entry.steps), optional("attention", attention),
               optional("level_bounds", level_bounds, {0, 1})});
  if (entry.layers.empty() && entry.heads.empty() && entry.steps.empty())
    value.fail_type("at least one of \"layers\", \"heads\" and \"steps\"");
  if (attention.has_value() == level_bounds.has_value())
    value.fail_type("either \"attention\" or \"level_bounds\"");
  if (attention && *attention != "dense") value.member("attention")->fail_type("\"dense\"");
  if (level_bounds) entry.level_bounds = *level_bounds;
}

}  // namespace psagen::engine
