#include "engine/pipeline/cache_folder.h"

#include <cstdlib>

namespace psagen::engine {

namespace fs = std::filesystem;

fs::path default_cache_folder() {
  const char* const cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache != '\0') return fs::path(cache) / "psa-gen";
  const char* const home = std::getenv("HOME");
  if (home != nullptr && *home != '\0') return fs::path(home) / ".cache/psa-gen";
  return {};
}

}  // namespace psagen::engine
