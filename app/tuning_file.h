// What GPU back ends measured, in one JSON file of the user's cache folder: later runs start sooner
// and compute with the same algorithms, so that they give the same bits.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "kernels/core/tuning_store.h"

namespace psagen::app {

// tuning.json in the cache folder; empty where that is not known.
std::filesystem::path default_tuning_file();

class TuningFile final : public TuningStore {
 public:
  // Reads `path`, which need not exist.
  explicit TuningFile(std::filesystem::path path);
  // Saves, whatever becomes of it.
  ~TuningFile() override;
  TuningFile(const TuningFile&) = delete;
  TuningFile& operator=(const TuningFile&) = delete;

  // One line where the file was there but is not one of ours, or damaged: it counts as empty, and
  // is written anew when there is something to keep. Empty otherwise.
  const std::string& warning() const { return warning_; }

  std::optional<Choice> find(const std::string& key) const override;
  void keep(const std::string& key, const Choice& choice) override;

  // Adds what was kept to what the file holds by now: other processes add to it too, and of two
  // choices for one key the first that was written stays. False where it cannot be written; that
  // fails no run.
  bool save();

 private:
  using Choices = std::map<std::string, Choice>;
  // Nothing where there is no such file, or none that can be used; the latter is told in `warning`.
  static Choices read(const std::filesystem::path& path, std::string& warning);

  std::filesystem::path path_;
  std::string warning_;
  Choices found_;  // in the file when it was read
  Choices kept_;   // since the last save
};

}  // namespace psagen::app
