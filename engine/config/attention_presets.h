// The files of configs/attention as they were when the program was built, so that an installed
// program needs none of them.
#pragma once

#include <span>

namespace psagen::engine {

struct AttentionPreset {
  const char* name;  // the file's name without ".json"
  const char* json;
};

std::span<const AttentionPreset> attention_presets();

}  // namespace psagen::engine
