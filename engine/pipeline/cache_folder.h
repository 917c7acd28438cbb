// Where the program keeps what it can make again.
#pragma once

#include <filesystem>

namespace psagen::engine {

// $XDG_CACHE_HOME/psa-gen, or the same under ~/.cache; empty where neither is known. It may not
// exist yet.
std::filesystem::path default_cache_folder();

}  // namespace psagen::engine
