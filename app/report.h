// --report: what a run did, for programs.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "app/run_record.h"
#include "engine/pipeline/text_to_video.h"

namespace psagen::app {

struct RunFacts {
  RunRecord record;
  std::filesystem::path model_directory;
  std::string device;  // as engine::device_description says
  std::string dtype;
  int num_threads = 0;
  std::vector<std::filesystem::path> outputs;
  double seconds = 0.0;
  engine::RunReport report;
};

void write_report(const std::filesystem::path& path, const RunFacts& facts, bool overwrite);

}  // namespace psagen::app
