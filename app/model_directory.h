// Which model a run takes where the user names none.
#pragma once

#include <filesystem>

namespace psagen::app {

// $PSAGEN_MODEL, else the model in `../share/psa-gen/models` seen from the executable's folder:
// that folder itself, or the first (by name) of its subfolders that holds a model_index.json.
// Throws Error(kNotFound) that says where it looked.
std::filesystem::path default_model_directory();

}  // namespace psagen::app
