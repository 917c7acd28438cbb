#include "engine/config/attention_config.h"

#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "engine/config/attention_presets.h"
#include "engine/config/json_fields.h"
#include "engine/config/nearest_name.h"
#include "kernels/psa/pyramid_sparse_attention.h"

namespace psagen::engine {
namespace {

constexpr std::string_view kDefaultPyramid = "balanced";
constexpr std::string_view kDefaultBlockSparse = "density-0.15";

kernels::LevelSelection selection_of(const JsonValue& value) {
  std::string name;
  read_value(value, name);
  if (name == "threshold") return kernels::LevelSelection::kThreshold;
  if (name == "quota") return kernels::LevelSelection::kQuota;
  value.fail_type("\"threshold\" or \"quota\"");
}

kernels::ImportanceEstimator estimator_of(const JsonValue& value) {
  std::string name;
  read_value(value, name);
  if (name == "pooled_log_sum_exp") return kernels::ImportanceEstimator::kPooledLogSumExp;
  if (name == "staggered") return kernels::ImportanceEstimator::kStaggered;
  if (name == "sampled") return kernels::ImportanceEstimator::kSampled;
  if (name == "uniform") return kernels::ImportanceEstimator::kUniform;
  value.fail_type("\"pooled_log_sum_exp\", \"staggered\", \"sampled\" or \"uniform\"");
}

bool is_binary(const kernels::LevelBounds& bounds) { return bounds.front() == bounds.back(); }

// Quotas that spend on full resolution what the levels of a preset spend together.
void make_binary(const std::string& preset, kernels::LevelSelection selection,
                 kernels::LevelBounds& bounds) {
  if (is_binary(bounds)) return;
  PSAGEN_CHECK(selection == kernels::LevelSelection::kQuota, ErrorCode::kInvalidArgument,
               "attention preset \"", preset,
               "\" selects by threshold, so its budget depends on the ",
               "video and has no block-sparse equal; use psa:", preset,
               " or block-sparse:", kDefaultBlockSparse);
  double budget = 0.0, previous = 0.0;
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    budget += (bounds[i] - previous) / kernels::kPsaLevels[i];
    previous = bounds[i];
  }
  bounds.fill(budget);
}

AttentionConfig compiled_preset(const std::string& name) {
  for (const AttentionPreset& preset : attention_presets())
    if (name == preset.name)
      return parse_attention_preset(preset.json, concat("configs/attention/", name, ".json"));
  throw Error(ErrorCode::kInvalidArgument, concat("unknown attention preset \"", name, "\"",
                                                  name_suggestion(name, attention_preset_names())));
}

bool is_json(const std::string& preset) { return preset.starts_with('{'); }

bool is_file(const std::string& preset) {
  return preset.find('/') != std::string::npos || preset.ends_with(".json");
}

void validate(const kernels::PsaParams& psa, const std::string& place) {
  try {
    kernels::validate(psa);
  } catch (const Error& error) {
    throw Error(error.code(), place + ": " + error.message(), error.where());
  }
}

AttentionConfig read_preset(const JsonValue& root) {
  AttentionConfig config;
  config.kind = AttentionKind::kPyramid;
  kernels::PsaParams& psa = config.psa;
  std::string description;
  std::int64_t query_block = psa.query_block, key_block = psa.key_block;
  read_fields(
      root, UnknownKeys::kRefuse,
      {optional("description", description),
       optional("query_block", query_block, {32, 256}),
       required("key_block", key_block, {32, 128}),
       {"selection", true, [&psa](const JsonValue& v) { psa.selection = selection_of(v); }},
       required("level_bounds", psa.level_bounds, {0, 1}),
       optional("min_full_ratio", psa.min_full_ratio, {0, 1}),
       {"estimator", false, [&psa](const JsonValue& v) { psa.estimator = estimator_of(v); }},
       optional("similarity_cap", psa.similarity_cap),
       optional("similarity_thresholds", psa.similarity_thresholds, {-1, 1}),
       optional("warmup_share", config.warmup_share, {0, 1}),
       optional("warmup_steps", config.warmup_steps, {0, 1000}),
       optional("reorder_tokens", config.reorder_tokens),
       optional("overrides", config.overrides),
       optional("reuse_across_guidance", config.reuse_across_guidance),
       optional("reuse_steps", config.reuse_steps, {1, 1000})});
  psa.query_block = static_cast<int>(query_block);
  psa.key_block = static_cast<int>(key_block);
  validate(psa, root.file());
  for (std::size_t i = 0; i < config.overrides.size(); ++i) {
    kernels::PsaParams other = psa;
    other.level_bounds = config.overrides[i].level_bounds;
    validate(other, concat(root.file(), ": key \"overrides[", i, "]\""));
  }
  return config;
}

// `preset` as parse_attention has it behind the colon; what a file holds takes its place.
AttentionConfig load_preset(std::string& preset) {
  if (is_json(preset)) return parse_attention_preset(preset, "the attention preset");
  if (!is_file(preset)) return compiled_preset(preset);
  const JsonDocument document = JsonDocument::load(preset);
  const AttentionConfig config = read_preset(document.root());
  preset = document.root().json().dump();
  return config;
}

}  // namespace

AttentionConfig parse_attention_preset(std::string_view json, const std::string& file) {
  return read_preset(JsonDocument::parse(json, file).root());
}

AttentionConfig parse_attention(const std::string& spec) {
  const std::size_t colon = spec.find(':');
  const std::string kind = spec.substr(0, colon);
  const bool has_preset = colon != std::string::npos;
  const std::string given = has_preset ? spec.substr(colon + 1) : "";
  // As messages and people see it.
  const std::string shown = is_json(given) ? "{...}" : given;
  std::string preset = given;
  AttentionConfig config;
  if (kind == "dense") {
    PSAGEN_CHECK(!has_preset, ErrorCode::kInvalidArgument, "attention \"", kind, ":", shown,
                 "\": dense attention has no presets");
  } else if (kind == "psa") {
    if (!has_preset) preset = kDefaultPyramid;
    config = load_preset(preset);
    PSAGEN_CHECK(!is_binary(config.psa.level_bounds), ErrorCode::kInvalidArgument,
                 "attention preset \"", shown,
                 "\" has no pooled levels; write block-sparse:", shown);
  } else if (kind == "block-sparse") {
    if (!has_preset) preset = kDefaultBlockSparse;
    const std::string& name = has_preset ? shown : preset;
    config = load_preset(preset);
    make_binary(name, config.psa.selection, config.psa.level_bounds);
    for (AttentionOverride& entry : config.overrides)
      make_binary(name, config.psa.selection, entry.level_bounds);
  } else {
    throw Error(ErrorCode::kInvalidArgument,
                concat("unknown attention \"", spec, "\"",
                       name_suggestion(kind, {"auto", "dense", "psa", "block-sparse"}),
                       " (auto, dense, psa, psa:PRESET, block-sparse or block-sparse:PRESET)"));
  }
  config.name = has_preset ? concat(kind, ":", shown) : kind;
  config.spec = has_preset ? concat(kind, ":", preset) : kind;
  return config;
}

std::vector<std::string> attention_preset_names() {
  std::vector<std::string> names;
  for (const AttentionPreset& preset : attention_presets()) names.emplace_back(preset.name);
  return names;
}

}  // namespace psagen::engine
