// One table of fields per command: it parses the command line, prints the help page, reads and
// writes the same settings as JSON, and lays one source of settings over another.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "kernels/core/error.h"

namespace psagen::app {

struct FrameSize {
  std::int64_t width = 0;
  std::int64_t height = 0;
  bool operator==(const FrameSize&) const = default;
};

std::string to_text(const FrameSize& size);  // "832x480"

// Where a setting may be given, besides the command line.
enum class Scope {
  kFlag,    // only there
  kConfig,  // also a key of --config
  kRecord,  // also written into the video, and repeated by --from
};

// What a person reads about a field, and what its value must be. Both ends of the bounds are valid.
struct FieldText {
  std::string_view name = {};   // without the dashes; also the key in JSON
  char letter = 0;              // -p
  std::string_view alias = {};  // a second long name
  std::string_view value = {};  // placeholder on the help page; empty for a switch
  std::string_view group = {};  // heading on the help page
  std::string_view help = {};
  double lowest = -std::numeric_limits<double>::infinity();
  double highest = std::numeric_limits<double>::infinity();
  Scope scope = Scope::kConfig;
  std::string_view rival = {};  // the field that says the same in another way
};

// Every member is optional: an empty one was not given.
template <typename Options>
using Member =
    std::variant<std::optional<bool> Options::*, std::optional<std::int64_t> Options::*,
                 std::optional<std::uint64_t> Options::*, std::optional<double> Options::*,
                 std::optional<std::string> Options::*, std::optional<FrameSize> Options::*>;

template <typename Options>
struct Field {
  FieldText text;
  Member<Options> member;
};

template <typename Options>
using Table = std::span<const Field<Options>>;

// Text -> value; throw Error(kInvalidArgument) naming `what` ("--steps"), the text and the wanted.
void parse_value(const std::string& what, const FieldText& field, const std::string& text,
                 std::int64_t& target);
void parse_value(const std::string& what, const FieldText& field, const std::string& text,
                 std::uint64_t& target);
void parse_value(const std::string& what, const FieldText& field, const std::string& text,
                 double& target);
void parse_value(const std::string& what, const FieldText& field, const std::string& text,
                 std::string& target);
void parse_value(const std::string& what, const FieldText& field, const std::string& text,
                 FrameSize& target);
void parse_value(const std::string& what, const FieldText& field, const std::string& text,
                 bool& target);  // a switch: any text turns it on

// A command line cut into fields: which one (by its place in the table) and its text.
struct Argument {
  std::size_t field = 0;
  std::string flag;  // as the user wrote it
  std::string text;
};

// Understands `--name value`, `--name=value`, `-n value` and switches. Throws
// Error(kInvalidArgument) for an unknown flag (with the nearest), a missing value, a flag given
// twice, a word that belongs to no flag.
std::vector<Argument> split_arguments(std::span<const FieldText> fields,
                                      std::span<const std::string> arguments);

// Throws Error(kInvalidArgument) that `one` and `other` exclude each other.
[[noreturn]] void throw_rivals(std::string_view one, std::string_view other,
                               const std::string& source);

template <typename Options>
std::vector<FieldText> field_texts(Table<Options> table) {
  std::vector<FieldText> texts;
  for (const Field<Options>& field : table) texts.push_back(field.text);
  return texts;
}

template <typename Options>
bool is_given(const Options& options, const Field<Options>& field) {
  return std::visit([&](auto member) { return (options.*member).has_value(); }, field.member);
}

template <typename Options>
bool is_given(const Options& options, Table<Options> table, std::string_view name) {
  for (const Field<Options>& field : table) {
    if (field.text.name == name) return is_given(options, field);
  }
  return false;
}

// Throws Error(kInvalidArgument) where a field and its rival are both given in `source`.
template <typename Options>
void check_rivals(const Options& options, Table<Options> table, const std::string& source) {
  for (const Field<Options>& field : table) {
    if (!field.text.rival.empty() && is_given(options, field) &&
        is_given(options, table, field.text.rival)) {
      throw_rivals(field.text.name, field.text.rival, source);
    }
  }
}

template <typename Options>
Options parse_flags(Table<Options> table, std::span<const std::string> arguments) {
  Options options;
  for (const Argument& argument : split_arguments(field_texts(table), arguments)) {
    const Field<Options>& field = table[argument.field];
    std::visit(
        [&](auto member) {
          parse_value(argument.flag, field.text, argument.text, (options.*member).emplace());
        },
        field.member);
  }
  check_rivals(options, table, "the command line");
  return options;
}

// Takes from `lower` what `upper` leaves open; a field given above silences its rival below.
template <typename Options>
Options lay_over(const Options& upper, const Options& lower, Table<Options> table) {
  Options result = upper;
  for (const Field<Options>& field : table) {
    if (is_given(upper, field)) continue;
    if (!field.text.rival.empty() && is_given(upper, table, field.text.rival)) continue;
    std::visit([&](auto member) { result.*member = lower.*member; }, field.member);
  }
  return result;
}

}  // namespace psagen::app
