// The shapes of published models, for what needs a model's shape but not its files: benchmarks and
// plans (spec/wan 3.1, 2.3, 4.2).
#pragma once

#include <string>
#include <vector>

#include "engine/config/model_config.h"

namespace psagen::engine {

// "wan2.1-1.3b" and "wan2.1-14b".
std::vector<std::string> known_model_names();

// `directory` is empty. Throws Error(kInvalidArgument) naming the nearest of the names above.
ModelConfig known_model(const std::string& name);

}  // namespace psagen::engine
