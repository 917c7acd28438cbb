// What a finished video says about the run that made it: one line of JSON in MP4's `comment` tag,
// or in the .json file beside a .y4m or among PNG frames.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "app/options.h"

namespace psagen::app {

struct RunRecord {
  std::string version;  // of the program
  std::string commit;
  std::string model_name;
  std::string model_hash;
  GenerateOptions settings;  // every field of Scope::kRecord
};

// The given fields of Scope::kRecord, keys as in --config.
nlohmann::ordered_json settings_json(const GenerateOptions& settings);

std::string to_json(const RunRecord& record);

// Reads a video's record, or a .json file's. Throws Error that names the file: kNotFound, kIo, or
// kInvalidArgument where it holds none of this program's.
RunRecord load_run_record(const std::filesystem::path& path);

}  // namespace psagen::app
