#include "app/report.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/media/partial_file.h"

namespace psagen::app {

namespace {

using Json = nlohmann::ordered_json;

Json stages_json(const std::vector<engine::StageReport>& stages) {
  Json list = Json::array();
  for (const engine::StageReport& stage : stages) {
    list.push_back({{"stage", engine::stage_name(stage.stage)},
                    {"seconds", stage.seconds},
                    {"peak_bytes", stage.peak_bytes},
                    {"loaded_bytes", stage.loaded_bytes}});
  }
  return list;
}

Json zones_json(const std::vector<engine::ZoneTime>& zones) {
  Json list = Json::array();
  for (const engine::ZoneTime& zone : zones)
    list.push_back({{"zone", zone.zone}, {"calls", zone.calls}, {"seconds", zone.seconds}});
  return list;
}

// Four digits are enough to see, and a long run has thousands of these.
Json rounded(const std::vector<double>& values) {
  Json list = Json::array();
  for (const double value : values) list.push_back(std::round(value * 1e4) / 1e4);
  return list;
}

Json layers_json(const std::vector<engine::LayerDensity>& layers) {
  Json list = Json::array();
  for (const engine::LayerDensity& layer : layers) {
    list.push_back({{"layer", layer.layer},
                    {"nominal_density", rounded(layer.nominal)},
                    {"executed_density", rounded(layer.executed)}});
  }
  return list;
}

Json steps_json(const std::vector<engine::StepReport>& steps) {
  Json list = Json::array();
  for (const engine::StepReport& step : steps) {
    list.push_back({{"sigma", step.sigma},
                    {"seconds", step.seconds},
                    {"sparse", step.sparse},
                    {"nominal_density", step.nominal_density},
                    {"executed_density", step.executed_density},
                    {"layers", layers_json(step.layers)}});
  }
  return list;
}

}  // namespace

void write_report(const std::filesystem::path& path, const RunFacts& facts, bool overwrite) {
  Json outputs = Json::array();
  for (const auto& output : facts.outputs) outputs.push_back(output.string());
  const Json object = {
      {"program", "psa-gen"},
      {"version", facts.record.version},
      {"commit", facts.record.commit},
      {"model",
       {{"name", facts.record.model_name},
        {"hash", facts.record.model_hash},
        {"directory", facts.model_directory.string()}}},
      {"device", facts.device},
      {"dtype", facts.dtype},
      {"threads", facts.num_threads},
      {"settings", settings_json(facts.record.settings)},
      {"outputs", outputs},
      {"seconds", facts.seconds},
      {"prompt_tokens", facts.report.num_prompt_tokens},
      {"video_tokens", facts.report.num_video_tokens},
      {"vae_tiles", {facts.report.decode_split.rows, facts.report.decode_split.columns}},
      {"stages", stages_json(facts.report.stages)},
      {"zones", zones_json(facts.report.zones)},
      {"steps", steps_json(facts.report.steps)},
  };
  engine::PartialFile file(path);
  // File names need not be UTF-8; everything else was checked.
  file.append(object.dump(2, ' ', false, Json::error_handler_t::replace));
  file.append("\n");
  file.commit(overwrite);
}

}  // namespace psagen::app
