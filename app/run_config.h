// --config run.json: the flags as the keys of a JSON object.
#pragma once

#include <filesystem>

#include "app/options.h"
#include "engine/config/json_fields.h"

namespace psagen::app {

// Reads the fields whose scope is `least` or wider. Throws Error that names the file and the key:
// an unknown key (with the nearest), a wrong type, a value out of bounds, two rivals.
GenerateOptions read_settings(const engine::JsonValue& object, Scope least);

GenerateOptions load_config(const std::filesystem::path& path);

}  // namespace psagen::app
