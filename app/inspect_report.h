// What `psa-gen inspect attention` found: a page for people, JSON for programs.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "app/run_record.h"
#include "engine/inspect/attention_inspector.h"

namespace psagen::app {

struct InspectFacts {
  RunRecord record;  // its settings.attention is the run's own
  std::string device, dtype;
  std::int64_t num_video_tokens = 0;
  engine::InspectedPlaces places;
  std::vector<engine::InspectedAttention> results;
};

std::string inspect_page(const InspectFacts& facts);
void write_inspect_json(const std::filesystem::path& path, const InspectFacts& facts,
                        bool overwrite);

}  // namespace psagen::app
