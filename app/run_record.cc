#include "app/run_record.h"

#include <nlohmann/json.hpp>

#include "app/run_config.h"
#include "engine/media/video_reader.h"
#include "engine/media/video_writer.h"

namespace psagen::app {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kProgram = "psa-gen";

Json to_json_value(const FrameSize& size) { return to_text(size); }

template <typename T>
Json to_json_value(const T& value) {
  return value;
}

engine::JsonDocument load_document(const std::filesystem::path& path) {
  if (path.extension() == ".json") return engine::JsonDocument::load(path);
  if (path.extension() == ".y4m") {
    return engine::JsonDocument::load(engine::y4m_comment_path(path));
  }
  const std::string comment = engine::probe_video(path).comment;
  PSAGEN_CHECK(comment.starts_with('{'), ErrorCode::kInvalidArgument, path.string(),
               " does not say how it was made: its comment tag holds no settings of ", kProgram);
  return engine::JsonDocument::parse(comment, path.string() + " (comment tag)");
}

struct ModelName {
  std::string name;
  std::string hash;
};

void read_value(const engine::JsonValue& value, ModelName& model) {
  engine::read_fields(value, engine::UnknownKeys::kIgnore,
                      {engine::required("name", model.name), engine::required("hash", model.hash)});
}

}  // namespace

Json settings_json(const GenerateOptions& settings) {
  Json object = Json::object();
  for (const Field<GenerateOptions>& field : generate_table()) {
    if (field.text.scope != Scope::kRecord || !is_given(settings, field)) continue;
    std::visit(
        [&](auto member) {
          object[std::string(field.text.name)] = to_json_value(*(settings.*member));
        },
        field.member);
  }
  return object;
}

std::string to_json(const RunRecord& record) {
  const Json object = {
      {"program", kProgram},
      {"version", record.version},
      {"commit", record.commit},
      {"model", {{"name", record.model_name}, {"hash", record.model_hash}}},
      {"settings", settings_json(record.settings)},
  };
  // Prompts are checked UTF-8; the name of a model's folder may be anything.
  return object.dump(-1, ' ', false, Json::error_handler_t::replace);
}

RunRecord load_run_record(const std::filesystem::path& path) {
  const engine::JsonDocument document = load_document(path);
  RunRecord record;
  std::string program;
  ModelName model;
  const engine::JsonValue root = document.root();
  engine::read_fields(
      root, engine::UnknownKeys::kIgnore,
      {engine::required("program", program), engine::required("version", record.version),
       engine::required("commit", record.commit), engine::required("model", model)});
  const std::optional<engine::JsonValue> settings = root.member("settings");
  PSAGEN_CHECK(program == kProgram && settings.has_value(), ErrorCode::kInvalidArgument,
               root.file(), ": no settings of ", kProgram, " (program is '", program, "')");
  record.settings = read_settings(*settings, Scope::kRecord);
  record.model_name = model.name;
  record.model_hash = model.hash;
  return record;
}

}  // namespace psagen::app
