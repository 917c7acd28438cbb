// Table-driven JSON reading: a reader lists its fields once, and missing keys, unknown keys, wrong
// types and values out of bounds become errors that name the file and the path of the key.
//
//   struct Size { std::int64_t width = 0, height = 0; };
//   void read_value(const JsonValue& value, Size& size) {
//     read_fields(value, UnknownKeys::kRefuse,
//                 {required("width", size.width, {16, 8192}), optional("height", size.height)});
//   }
//   const JsonDocument document = JsonDocument::load("size.json");
//   Size size;
//   read_value(document.root(), size);
//
// `read_value` of a type of one's own is found by argument-dependent lookup, so structs nest.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/core/error.h"

namespace psagen::engine {

// A name from a file in quotes, fit for a message of one line: control characters escaped,
// shortened to some 120 characters.
std::string quoted_name(std::string_view name);

// One value inside a document, with its place for messages. Valid as long as the document.
class JsonValue {
 public:
  JsonValue(const nlohmann::json& value, std::string file, std::string path)
      : value_(&value), file_(std::move(file)), path_(std::move(path)) {}

  const std::string& file() const { return file_; }
  const std::string& path() const { return path_; }  // "vae.dim_mult[2]"; empty at the root
  const nlohmann::json& json() const { return *value_; }

  bool is_null() const;
  bool is_object() const;
  bool is_array() const;
  std::size_t size() const;                    // of an array or object; 0 for anything else
  JsonValue element(std::size_t index) const;  // of an array
  std::vector<std::pair<std::string, JsonValue>> members() const;  // of an object, sorted by key
  // The member of that name, whatever its type; nothing where there is none.
  std::optional<JsonValue> member(const std::string& name) const;

  // The value as a person would write it, shortened to some 60 characters.
  std::string shown() const;

  // Throws Error: `FILE: key "PATH": WHAT`.
  [[noreturn]] void fail(ErrorCode code, const std::string& what) const;
  // Throws Error(kInvalidArgument): `FILE: key "PATH": found VALUE, wanted WANTED`.
  [[noreturn]] void fail_type(const std::string& wanted) const;

 private:
  const nlohmann::json* value_;
  std::string file_;
  std::string path_;
};

// A parsed JSON text. Duplicate keys and nesting deeper than 64 are errors like bad syntax; all
// name the file, bad syntax also line and column.
class JsonDocument {
 public:
  static JsonDocument parse(std::string_view text, const std::string& file_name);
  // Throws Error(kNotFound) where there is no such file, Error(kIo) where it cannot be read.
  static JsonDocument load(const std::filesystem::path& path);

  JsonDocument(JsonDocument&&) noexcept;
  ~JsonDocument();

  JsonValue root() const;

 private:
  JsonDocument(std::unique_ptr<const nlohmann::json> json, std::string file);
  std::unique_ptr<const nlohmann::json> json_;
  std::string file_;
};

void read_value(const JsonValue& value, bool& target);
void read_value(const JsonValue& value, std::int64_t& target);
void read_value(const JsonValue& value, std::uint64_t& target);
void read_value(const JsonValue& value, double& target);  // an integer too, never inf or NaN
void read_value(const JsonValue& value, std::string& target);

template <typename T>
void read_value(const JsonValue& value, std::vector<T>& target) {
  if (!value.is_array()) value.fail_type("a list");
  target.clear();
  for (std::size_t i = 0; i < value.size(); ++i) {
    T item{};
    read_value(value.element(i), item);
    target.push_back(std::move(item));
  }
}

template <typename T, std::size_t kCount>
void read_value(const JsonValue& value, std::array<T, kCount>& target) {
  if (!value.is_array() || value.size() != kCount)
    value.fail_type("a list of " + std::to_string(kCount));
  for (std::size_t i = 0; i < kCount; ++i) read_value(value.element(i), target[i]);
}

template <typename T>
void read_value(const JsonValue& value, std::optional<T>& target) {
  T item{};
  read_value(value, item);
  target = std::move(item);
}

// Both ends belong to the interval.
struct Bounds {
  double lowest = -std::numeric_limits<double>::infinity();
  double highest = std::numeric_limits<double>::infinity();
};

// Throws Error(kInvalidArgument) naming value and bounds where a number, or one of a list, lies
// outside.
void check_bounds(const JsonValue& value, const Bounds& bounds);

struct JsonField {
  std::string name;
  bool is_required = false;
  std::function<void(const JsonValue&)> read;  // not called for an absent value
  bool null_is_absent = true;                  // nor for null, unless null is a value like others
};

// A key that must be there and not null.
template <typename T>
JsonField required(std::string name, T& target, Bounds bounds = {}) {
  return {std::move(name), true, [&target, bounds](const JsonValue& value) {
            read_value(value, target);
            check_bounds(value, bounds);
          }};
}

// A key that may be absent or null, which leaves the target as it is.
template <typename T>
JsonField optional(std::string name, T& target, Bounds bounds = {}) {
  JsonField field = required(std::move(name), target, bounds);
  field.is_required = false;
  return field;
}

// A key that may be absent and otherwise must have one of these values, given as JSON texts ("null"
// too where it is allowed): others change the result in a way this program cannot follow. Throws
// Error(kUnsupported).
JsonField only(std::string name, const std::vector<std::string>& json_texts);

// The same for a key that must be there, because its absence means another value.
JsonField required_only(std::string name, const std::vector<std::string>& json_texts);

enum class UnknownKeys {
  kRefuse,  // our own files: a key not in the table is a misspelling
  kIgnore,  // files of others, which grow harmless keys with each version
};

// Reads an object by its table. Throws Error(kInvalidArgument) or Error(kNotFound, a missing key).
void read_fields(const JsonValue& object, UnknownKeys unknown,
                 const std::vector<JsonField>& fields);

}  // namespace psagen::engine
