#include "app/model_directory.h"

#include <algorithm>
#include <cstdlib>
#include <system_error>
#include <vector>

#include "kernels/core/error.h"

namespace psagen::app {

namespace fs = std::filesystem;

namespace {

bool is_model(const fs::path& folder) {
  std::error_code error;
  return fs::exists(folder / "model_index.json", error);
}

}  // namespace

fs::path default_model_directory() {
  const char* named = std::getenv("PSAGEN_MODEL");
  if (named != nullptr && *named != '\0') return named;
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  const fs::path models = program.parent_path().parent_path() / "share" / "psa-gen" / "models";
  std::vector<fs::path> found;
  if (is_model(models)) found.push_back(models);
  for (const fs::directory_entry& entry : fs::directory_iterator(models, error)) {
    if (is_model(entry.path())) found.push_back(entry.path());
  }
  PSAGEN_CHECK(!found.empty(), ErrorCode::kNotFound, "there is no model in ", models.string(),
               "; give --model DIR or set PSAGEN_MODEL");
  return *std::min_element(found.begin(), found.end());
}

}  // namespace psagen::app
