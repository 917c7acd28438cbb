#include "app/run_config.h"

#include <string>
#include <vector>

namespace psagen::app {

// Found by engine::optional through the type's namespace.
void read_value(const engine::JsonValue& value, FrameSize& size) {
  std::string text;
  engine::read_value(value, text);
  parse_value(concat(value.file(), ": key \"", value.path(), "\""), {}, text, size);
}

GenerateOptions read_settings(const engine::JsonValue& object, Scope least) {
  GenerateOptions options;
  std::vector<engine::JsonField> fields;
  for (const Field<GenerateOptions>& field : generate_table()) {
    if (field.text.scope < least) continue;
    const engine::Bounds bounds{field.text.lowest, field.text.highest};
    std::visit(
        [&](auto member) {
          fields.push_back(engine::optional(std::string(field.text.name), options.*member, bounds));
        },
        field.member);
  }
  engine::read_fields(object, engine::UnknownKeys::kRefuse, fields);
  check_rivals(options, generate_table(), object.file());
  return options;
}

GenerateOptions load_config(const std::filesystem::path& path) {
  return read_settings(engine::JsonDocument::load(path).root(), Scope::kConfig);
}

}  // namespace psagen::app
