#include "engine/config/attention_config.h"

#include <string_view>

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
  if (name == "sampled") return kernels::ImportanceEstimator::kSampled;
  value.fail_type("\"pooled_log_sum_exp\" or \"sampled\"");
}

bool is_binary(const kernels::PsaParams& psa) {
  return psa.level_bounds.front() == psa.level_bounds.back();
}

// Quotas that spend on full resolution what the levels of a preset spend together.
void make_binary(const std::string& preset, kernels::PsaParams& psa) {
  if (is_binary(psa)) return;
  PSAGEN_CHECK(psa.selection == kernels::LevelSelection::kQuota, ErrorCode::kInvalidArgument,
               "attention preset \"", preset,
               "\" selects by threshold, so its budget depends on the ",
               "video and has no block-sparse equal; use psa:", preset,
               " or block-sparse:", kDefaultBlockSparse);
  double budget = 0.0, previous = 0.0;
  for (std::size_t i = 0; i < psa.level_bounds.size(); ++i) {
    budget += (psa.level_bounds[i] - previous) / kernels::kPsaLevels[i];
    previous = psa.level_bounds[i];
  }
  psa.level_bounds.fill(budget);
}

AttentionConfig load_preset(const std::string& name) {
  for (const AttentionPreset& preset : attention_presets())
    if (name == preset.name)
      return parse_attention_preset(preset.json, concat("configs/attention/", name, ".json"));
  throw Error(ErrorCode::kInvalidArgument, concat("unknown attention preset \"", name, "\"",
                                                  name_suggestion(name, attention_preset_names())));
}

}  // namespace

AttentionConfig parse_attention_preset(std::string_view json, const std::string& file) {
  AttentionConfig config;
  config.kind = AttentionKind::kPyramid;
  kernels::PsaParams& psa = config.psa;
  std::string description;
  std::int64_t query_block = psa.query_block, key_block = psa.key_block;
  const JsonDocument document = JsonDocument::parse(json, file);
  read_fields(
      document.root(), UnknownKeys::kRefuse,
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
       optional("reorder_tokens", config.reorder_tokens)});
  psa.query_block = static_cast<int>(query_block);
  psa.key_block = static_cast<int>(key_block);
  try {
    kernels::validate(psa);
  } catch (const Error& error) {
    throw Error(error.code(), file + ": " + error.message(), error.where());
  }
  return config;
}

AttentionConfig parse_attention(const std::string& spec) {
  const std::size_t colon = spec.find(':');
  const std::string kind = spec.substr(0, colon);
  const bool has_preset = colon != std::string::npos;
  const std::string preset = has_preset ? spec.substr(colon + 1) : "";
  AttentionConfig config;
  if (kind == "dense") {
    PSAGEN_CHECK(!has_preset, ErrorCode::kInvalidArgument, "attention \"", spec,
                 "\": dense attention has no presets");
  } else if (kind == "psa") {
    config = load_preset(has_preset ? preset : std::string(kDefaultPyramid));
    PSAGEN_CHECK(!is_binary(config.psa), ErrorCode::kInvalidArgument, "attention preset \"", preset,
                 "\" has no pooled levels; write block-sparse:", preset);
  } else if (kind == "block-sparse") {
    const std::string name = has_preset ? preset : std::string(kDefaultBlockSparse);
    config = load_preset(name);
    make_binary(name, config.psa);
  } else {
    throw Error(ErrorCode::kInvalidArgument,
                concat("unknown attention \"", spec, "\"",
                       name_suggestion(kind, {"dense", "psa", "block-sparse"}),
                       " (dense, psa, psa:PRESET, block-sparse or block-sparse:PRESET)"));
  }
  config.spec = spec;
  return config;
}

std::vector<std::string> attention_preset_names() {
  std::vector<std::string> names;
  for (const AttentionPreset& preset : attention_presets()) names.emplace_back(preset.name);
  return names;
}

}  // namespace psagen::engine
