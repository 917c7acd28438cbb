// A clip of the tiny model, made in a folder of the test's own.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/media/video_reader.h"
#include "tests/e2e/program/program.h"
#include "tests/support/temporary_folder.h"

namespace psagen::testing {

inline ProgramResult run_in(const TemporaryFolder& folder, const std::vector<std::string>& more) {
  ProgramOptions options;
  options.folder = folder.path();
  return run_program(tiny_run(more), options);
}

// What the video remembers.
inline nlohmann::json settings_of(const std::filesystem::path& video) {
  return nlohmann::json::parse(engine::probe_video(video).comment).at("settings");
}

}  // namespace psagen::testing
