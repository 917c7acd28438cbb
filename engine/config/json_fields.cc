#include "engine/config/json_fields.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "engine/config/nearest_name.h"

namespace psagen::engine {
namespace {

using nlohmann::json;

constexpr int kDeepestNesting = 64;
constexpr std::size_t kLongestName = 120;
constexpr std::size_t kLongestShown = 60;

// Cuts at a character boundary, so that a message stays valid UTF-8.
std::string shortened(std::string text, std::size_t limit) {
  if (text.size() <= limit) return text;
  while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xc0) == 0x80) --limit;
  return text.substr(0, limit) + "...";
}

// As JSON text on one line; what is not UTF-8 is replaced.
std::string dumped(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

// "line 3, column 14" of the last byte the parser read (`byte` counts from 1).
std::string position_of(std::string_view text, std::size_t byte) {
  const std::string_view before = text.substr(0, byte == 0 ? 0 : std::min(byte - 1, text.size()));
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const std::size_t start = before.rfind('\n');
  const std::size_t column = before.size() - (start == std::string_view::npos ? 0 : start + 1) + 1;
  return concat("line ", line, ", column ", column);
}

// The parser's reason without its own position and without the text it had read.
std::string reason_of(const json::exception& error) {
  std::string reason = error.what();
  const std::size_t prefix = reason.find("] ");
  if (prefix != std::string::npos) reason.erase(0, prefix + 2);
  const std::size_t position = reason.find(": ");
  if (reason.rfind("parse error at", 0) == 0 && position != std::string::npos)
    reason.erase(0, position + 2);
  const std::size_t last_read = reason.find("; last read");
  if (last_read != std::string::npos) reason.erase(last_read);
  return shortened(reason, 160);
}

// Sees every event of the parser: refuses what the parser lets pass but no reader wants.
class ParseGuard {
 public:
  explicit ParseGuard(const std::string& file) : file_(file) {}

  bool operator()(int depth, json::parse_event_t event, const json& parsed) {
    PSAGEN_CHECK(depth <= kDeepestNesting, ErrorCode::kInvalidArgument, file_,
                 ": JSON nested deeper than ", kDeepestNesting);
    if (event == json::parse_event_t::object_start) keys_.emplace_back();
    if (event == json::parse_event_t::object_end) keys_.pop_back();
    if (event == json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      PSAGEN_CHECK(keys_.back().insert(key).second, ErrorCode::kInvalidArgument, file_, ": key ",
                   quoted_name(key), " appears twice in one object");
    }
    return true;
  }

 private:
  const std::string& file_;
  std::vector<std::set<std::string>> keys_;  // of the objects now open
};

json parsed_json(std::string_view text, const std::string& file) {
  ParseGuard guard(file);
  try {
    return json::parse(text.begin(), text.end(), std::ref(guard));
  } catch (const json::parse_error& error) {
    throw Error(ErrorCode::kInvalidArgument,
                concat(file, ": not valid JSON at ", position_of(text, error.byte), ": ",
                       reason_of(error)));
  } catch (const json::exception& error) {  // a number too large for any type
    throw Error(ErrorCode::kInvalidArgument, concat(file, ": not valid JSON: ", reason_of(error)));
  }
}

}  // namespace

std::string quoted_name(std::string_view name) {
  return dumped(shortened(std::string(name), kLongestName));
}

bool JsonValue::is_null() const { return value_->is_null(); }
bool JsonValue::is_object() const { return value_->is_object(); }
bool JsonValue::is_array() const { return value_->is_array(); }

std::size_t JsonValue::size() const { return value_->is_structured() ? value_->size() : 0; }

JsonValue JsonValue::element(std::size_t index) const {
  return {(*value_)[index], file_, concat(path_, "[", index, "]")};
}

std::vector<std::pair<std::string, JsonValue>> JsonValue::members() const {
  std::vector<std::pair<std::string, JsonValue>> result;
  if (!is_object()) return result;
  for (auto it = value_->begin(); it != value_->end(); ++it)
    result.emplace_back(it.key(),
                        JsonValue(*it, file_, path_.empty() ? it.key() : path_ + "." + it.key()));
  return result;
}

std::optional<JsonValue> JsonValue::member(const std::string& name) const {
  if (!is_object()) return std::nullopt;
  const auto it = value_->find(name);
  if (it == value_->end()) return std::nullopt;
  return JsonValue(*it, file_, path_.empty() ? name : path_ + "." + name);
}

std::string JsonValue::shown() const {
  if (is_object()) return "an object";
  return shortened(dumped(*value_), kLongestShown);
}

void JsonValue::fail(ErrorCode code, const std::string& what) const {
  if (path_.empty()) throw Error(code, concat(file_, ": ", what));
  throw Error(code, concat(file_, ": key ", quoted_name(path_), ": ", what));
}

void JsonValue::fail_type(const std::string& wanted) const {
  fail(ErrorCode::kInvalidArgument, concat("found ", shown(), ", wanted ", wanted));
}

JsonDocument::JsonDocument(std::unique_ptr<const json> json, std::string file)
    : json_(std::move(json)), file_(std::move(file)) {}
JsonDocument::JsonDocument(JsonDocument&&) noexcept = default;
JsonDocument::~JsonDocument() = default;

JsonDocument JsonDocument::parse(std::string_view text, const std::string& file_name) {
  return {std::make_unique<const json>(parsed_json(text, file_name)), file_name};
}

JsonDocument JsonDocument::load(const std::filesystem::path& path) {
  std::error_code ignored;
  PSAGEN_CHECK(std::filesystem::exists(path, ignored), ErrorCode::kNotFound, path.string(),
               ": no such file");
  PSAGEN_CHECK(!std::filesystem::is_directory(path, ignored), ErrorCode::kIo, path.string(),
               ": is a directory, wanted a JSON file");
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  if (in && in.peek() != std::ifstream::traits_type::eof()) text << in.rdbuf();
  PSAGEN_CHECK(!in.bad() && in.is_open() && !text.fail(), ErrorCode::kIo, path.string(),
               ": cannot be read");
  return parse(text.str(), path.string());
}

JsonValue JsonDocument::root() const { return {*json_, file_, ""}; }

void read_value(const JsonValue& value, bool& target) {
  if (!value.json().is_boolean()) value.fail_type("true or false");
  target = value.json().get<bool>();
}

void read_value(const JsonValue& value, std::int64_t& target) {
  const json& found = value.json();
  const bool fits = found.is_number_integer() &&
                    !(found.is_number_unsigned() &&
                      found.get<std::uint64_t>() >
                          static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()));
  if (!fits) value.fail_type("an integer");
  target = found.get<std::int64_t>();
}

void read_value(const JsonValue& value, std::uint64_t& target) {
  // Only integers without a sign are held as unsigned.
  if (!value.json().is_number_unsigned()) value.fail_type("an integer of at least 0");
  target = value.json().get<std::uint64_t>();
}

void read_value(const JsonValue& value, double& target) {
  if (!value.json().is_number()) value.fail_type("a number");
  target = value.json().get<double>();
}

void read_value(const JsonValue& value, std::string& target) {
  if (!value.json().is_string()) value.fail_type("a text");
  target = value.json().get<std::string>();
}

void check_bounds(const JsonValue& value, const Bounds& bounds) {
  for (std::size_t i = 0; value.is_array() && i < value.size(); ++i)
    check_bounds(value.element(i), bounds);
  if (!value.json().is_number()) return;
  const double number = value.json().get<double>();
  if (number >= bounds.lowest && number <= bounds.highest) return;
  std::string wanted = concat("at least ", bounds.lowest);
  if (std::isinf(bounds.lowest)) wanted = concat("at most ", bounds.highest);
  if (std::isfinite(bounds.lowest) && std::isfinite(bounds.highest))
    wanted = concat(bounds.lowest, " to ", bounds.highest);
  value.fail_type(wanted);
}

JsonField only(std::string name, const std::vector<std::string>& json_texts) {
  std::vector<json> allowed;
  std::string wanted;
  for (const std::string& text : json_texts) {
    allowed.push_back(json::parse(text));
    wanted += (wanted.empty() ? "" : " or ") + text;
  }
  const auto read = [allowed, wanted](const JsonValue& value) {
    if (std::find(allowed.begin(), allowed.end(), value.json()) != allowed.end()) return;
    value.fail(ErrorCode::kUnsupported,
               concat("found ", value.shown(), ", this program supports only ", wanted));
  };
  return {std::move(name), false, read, false};
}

JsonField required_only(std::string name, const std::vector<std::string>& json_texts) {
  JsonField field = only(std::move(name), json_texts);
  field.is_required = true;
  return field;
}

void read_fields(const JsonValue& object, UnknownKeys unknown,
                 const std::vector<JsonField>& fields) {
  if (!object.is_object()) object.fail_type("an object");
  std::vector<std::string> names;
  names.reserve(fields.size());
  for (const JsonField& field : fields) names.push_back(field.name);
  // Misspellings first: the key one meant to write is then also the one that is missing.
  if (unknown == UnknownKeys::kRefuse) {
    for (const auto& [name, value] : object.members())
      if (std::find(names.begin(), names.end(), name) == names.end())
        object.fail(ErrorCode::kInvalidArgument,
                    concat("unknown key ", quoted_name(name), name_suggestion(name, names)));
  }
  for (const JsonField& field : fields) {
    const std::optional<JsonValue> value = object.member(field.name);
    const bool is_there = value && !(field.null_is_absent && value->is_null());
    if (is_there) field.read(*value);
    if (!is_there && field.is_required)
      object.fail(ErrorCode::kNotFound,
                  concat("key ", quoted_name(field.name), value ? " is null" : " is missing"));
  }
}

}  // namespace psagen::engine
