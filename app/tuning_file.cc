#include "app/tuning_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "engine/media/partial_file.h"
#include "engine/pipeline/cache_folder.h"
#include "engine/pipeline/sha256.h"
#include "kernels/core/error.h"

namespace psagen::app {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kFormat = "psa-gen tuning 1";
// Some hundred bytes a choice, some hundred choices a model.
constexpr std::uintmax_t kLargestFile = std::uintmax_t{16} << 20;

std::string digest(const Json& choices) {
  engine::Sha256 hash;
  hash.update(choices.dump());
  return hash.finish();
}

// The choices of a file of ours, an object of arrays of integers; null where it is none.
Json choices_of(const std::string& text) {
  const Json whole = Json::parse(text, nullptr, false);
  if (!whole.is_object() || !whole.contains("format") || whole["format"] != kFormat ||
      !whole.contains("choices") || !whole["choices"].is_object() || !whole.contains("sha256") ||
      whole["sha256"] != digest(whole["choices"]))
    return nullptr;
  for (const Json& choice : whole["choices"]) {
    if (!choice.is_array()) return nullptr;
    for (const Json& number : choice)
      if (!number.is_number_integer()) return nullptr;
  }
  return whole["choices"];
}

// Held while a file is read, added to and replaced. Where the file system has no locks two
// processes may lose what one of them adds, no more.
class FileLock {
 public:
  explicit FileLock(const fs::path& path)
      : file_(::open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0666)) {
    if (file_ >= 0) ::flock(file_, LOCK_EX);
  }
  ~FileLock() {
    if (file_ >= 0) ::close(file_);
  }
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int file_;
};

}  // namespace

fs::path default_tuning_file() {
  const fs::path folder = engine::default_cache_folder();
  return folder.empty() ? folder : folder / "tuning.json";
}

TuningFile::TuningFile(fs::path path) : path_(std::move(path)), found_(read(path_, warning_)) {}

TuningFile::~TuningFile() { save(); }

TuningFile::Choices TuningFile::read(const fs::path& path, std::string& warning) {
  std::error_code error;
  if (!fs::exists(path, error)) return {};
  std::string text;
  const std::uintmax_t size = fs::file_size(path, error);
  if (!error && size <= kLargestFile) {
    std::ifstream in(path, std::ios::binary);
    text.assign(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  const Json choices = choices_of(text);
  if (choices.is_object()) return choices.get<Choices>();
  warning = concat(path.string(),
                   " is damaged or of another program: it is not used, GPU algorithms are measured "
                   "again");
  return {};
}

std::optional<TuningFile::Choice> TuningFile::find(const std::string& key) const {
  for (const Choices* choices : {&kept_, &found_})
    if (const auto at = choices->find(key); at != choices->end()) return at->second;
  return std::nullopt;
}

void TuningFile::keep(const std::string& key, const Choice& choice) { kept_[key] = choice; }

bool TuningFile::save() {
  if (kept_.empty()) return true;
  try {
    fs::create_directories(path_.parent_path());
    const FileLock lock(path_.string() + ".lock");
    std::string ignored;
    Choices all = read(path_, ignored);
    for (const auto& [key, choice] : kept_) {
      // A choice that was found, and is kept again, was of no use.
      if (found_.contains(key)) all[key] = choice;
      all.emplace(key, choice);
    }
    const Json choices = all;
    engine::PartialFile file(path_);
    file.append(
        Json{{"format", kFormat}, {"sha256", digest(choices)}, {"choices", choices}}.dump() + "\n");
    file.commit(true);
    found_ = std::move(all);
    kept_.clear();
    return true;
  } catch (const Error&) {
    return false;
  } catch (const std::exception&) {  // no such folder, a key that is not UTF-8
    return false;
  }
}

}  // namespace psagen::app
