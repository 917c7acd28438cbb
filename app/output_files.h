// The video and the frames of a run as one thing to write to.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/options.h"
#include "engine/media/video_writer.h"

namespace psagen::app {

// "a-red-circle-seed42.mp4" from the prompt's first words; "-2", "-3", ... where that exists.
std::filesystem::path default_output(const std::filesystem::path& folder, const std::string& prompt,
                                     std::uint64_t seed);

class OutputFiles {
 public:
  // Decides where everything goes and fails early where it cannot (engine::check_target).
  OutputFiles(const GenerateOptions& options, const engine::VideoOptions& video,
              const std::string& prompt, std::uint64_t seed);

  // Nothing is on disk before the first frame.
  void write(const engine::Frame& frame);
  void finish();

  std::vector<std::filesystem::path> paths() const;
  // Seconds spent in write() and finish().
  double seconds() const { return seconds_; }
  // What the writers want to tell the user.
  std::string note() const;

 private:
  engine::VideoOptions video_options_;
  std::optional<std::filesystem::path> video_path_;
  std::optional<std::filesystem::path> frames_path_;
  std::vector<std::unique_ptr<engine::VideoWriter>> writers_;
  double seconds_ = 0.0;
};

}  // namespace psagen::app
