#include "app/inspect_report.h"

#include <iomanip>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/media/partial_file.h"

namespace psagen::app {

namespace {

using Json = nlohmann::ordered_json;

std::string level_name(int level) { return level == 0 ? "skip" : std::to_string(level); }

std::string forward_name(std::int64_t forward) {
  return forward == 0 ? "with the prompt" : "with the negative prompt";
}

// The three numbers that a place, a mean over places and a head have alike.
template <typename Result>
Json numbers_json(const Result& result) {
  return {{"relative_error", result.relative_error},
          {"nominal_density", result.nominal_density},
          {"executed_density", result.executed_density}};
}

Json mean_json(const std::vector<engine::PlaceResult>& places) {
  if (places.empty()) return nullptr;
  Json object = {{"places", places.size()}};
  object.update(numbers_json(engine::mean_of(places)));
  return object;
}

Json places_json(const std::vector<engine::PlaceResult>& places) {
  Json list = Json::array();
  for (const engine::PlaceResult& place : places) {
    Json object = {{"step", place.step}, {"layer", place.layer}};
    object.update(numbers_json(place));
    list.push_back(object);
  }
  return list;
}

Json head_json(const engine::InspectedHead& place, const engine::HeadResult& head) {
  Json levels = Json::object();
  for (const engine::LevelShare& share : engine::level_shares(head.map))
    levels[level_name(share.level)] = {{"blocks", share.blocks}, {"mass", share.mass}};
  Json object = {{"step", place.step}, {"layer", place.layer}, {"head", place.head}};
  object.update(numbers_json(head));
  object["layer_relative_error"] = head.layer_error;
  object["query_blocks"] = head.map.query_blocks;
  object["key_blocks"] = head.map.key_blocks;
  object["levels"] = levels;
  return object;
}

Json attention_json(const engine::InspectedAttention& result,
                    const engine::InspectedPlaces& places) {
  return {{"attention", result.config.spec},
          {"query_block", result.config.psa.query_block},
          {"key_block", result.config.psa.key_block},
          {"mean", mean_json(result.places)},
          {"places", places_json(result.places)},
          {"head", result.head ? head_json(*places.head, *result.head) : Json(nullptr)}};
}

void write_head(const engine::InspectedAttention& result, std::ostream& text) {
  const engine::HeadResult& head = *result.head;
  text << "\n"
       << result.config.spec << ": " << head.map.query_blocks << " blocks of "
       << head.map.query_block << " queries, " << head.map.key_blocks << " blocks of "
       << head.map.key_block << " keys\n  level   block pairs   attention mass\n";
  for (const engine::LevelShare& share : engine::level_shares(head.map))
    text << "  " << std::left << std::setw(5) << level_name(share.level) << std::right
         << std::setprecision(2) << std::setw(12) << 100.0 * share.blocks << " %" << std::setw(15)
         << 100.0 * share.mass << " %\n";
  text << std::setprecision(4) << "  density " << head.nominal_density << " nominal, "
       << head.executed_density << " executed\n  error of the output " << head.relative_error
       << ", of all heads of the layer " << head.layer_error << "\n";
}

void write_means(const InspectFacts& facts, std::ostream& text) {
  text << "\nmeans over " << facts.results.front().places.size() << " places ("
       << facts.places.steps.size() << " steps, " << facts.places.layers.size() << " layers)\n"
       << "  error of the output   nominal density   executed\n";
  for (const engine::InspectedAttention& result : facts.results) {
    const engine::PlaceResult mean = engine::mean_of(result.places);
    text << std::setprecision(4) << std::setw(21) << mean.relative_error << std::setw(18)
         << mean.nominal_density << std::setw(11) << mean.executed_density << "   "
         << result.config.spec << "\n";
  }
}

}  // namespace

std::string inspect_page(const InspectFacts& facts) {
  std::ostringstream text;
  text << std::fixed << facts.record.model_name << " on " << facts.device << ", " << facts.dtype
       << ", " << facts.num_video_tokens << " tokens, seed "
       << facts.record.settings.seed.value_or(0) << ", along "
       << facts.record.settings.attention.value_or("") << " attention, "
       << forward_name(facts.places.forward) << "\n";
  if (facts.places.head) {
    text << "step " << facts.places.head->step << ", layer " << facts.places.head->layer
         << ", head " << facts.places.head->head << "\n";
    for (const engine::InspectedAttention& result : facts.results) write_head(result, text);
  }
  if (!facts.places.steps.empty()) write_means(facts, text);
  return text.str();
}

void write_inspect_json(const std::filesystem::path& path, const InspectFacts& facts,
                        bool overwrite) {
  Json attentions = Json::array();
  for (const engine::InspectedAttention& result : facts.results)
    attentions.push_back(attention_json(result, facts.places));
  Json settings = settings_json(facts.record.settings);
  settings.erase("attention");
  const Json object = {
      {"program", "psa-gen inspect attention"},
      {"version", facts.record.version},
      {"commit", facts.record.commit},
      {"model", {{"name", facts.record.model_name}, {"hash", facts.record.model_hash}}},
      {"device", facts.device},
      {"dtype", facts.dtype},
      {"settings", settings},
      {"along", facts.record.settings.attention.value_or("")},
      {"forward", facts.places.forward},
      {"video_tokens", facts.num_video_tokens},
      {"attentions", attentions},
  };
  engine::PartialFile file(path);
  // The name of a model's folder may be anything.
  file.append(object.dump(2, ' ', false, Json::error_handler_t::replace));
  file.append("\n");
  file.commit(overwrite);
}

}  // namespace psagen::app
