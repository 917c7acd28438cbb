// Where a preset's attention is another than elsewhere: by layer, head and step.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/psa/psa_params.h"

namespace psagen::engine {

class JsonValue;

// Both ends belong to it.
struct IndexRange {
  std::int64_t first = 0;
  std::int64_t last = 0;
};

struct AttentionOverride {
  // Counted from 0; empty: all of them.
  std::vector<IndexRange> layers = {};
  std::vector<IndexRange> heads = {};
  std::vector<IndexRange> steps = {};
  kernels::LevelBounds level_bounds = {1.0, 1.0, 1.0, 1.0};

  // Every key block in full.
  bool is_dense() const { return level_bounds.front() == 1.0; }
  bool matches(std::int64_t layer, std::int64_t head, std::int64_t step) const;
};

// {"layers": [0, [2, 5]], "heads": ..., "steps": ..., "attention": "dense"} or "level_bounds"
// instead of "attention". At least one of the three lists, none of them empty. Whether the bounds
// rise is not checked here.
void read_value(const JsonValue& value, AttentionOverride& entry);
// 3 or [2, 5].
void read_value(const JsonValue& value, IndexRange& range);

}  // namespace psagen::engine
