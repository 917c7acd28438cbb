#include "app/option_table.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <type_traits>

#include "engine/config/nearest_name.h"

namespace psagen::app {

namespace {

std::string range_text(const FieldText& field, const char* kind) {
  const bool has_lowest = std::isfinite(field.lowest);
  const bool has_highest = std::isfinite(field.highest);
  if (has_lowest && has_highest) return concat(kind, " from ", field.lowest, " to ", field.highest);
  if (has_lowest) return concat(kind, " of at least ", field.lowest);
  return kind;
}

[[noreturn]] void throw_value(const std::string& what, const std::string& text,
                              const std::string& wanted) {
  throw Error(ErrorCode::kInvalidArgument, concat(what, " is '", text, "', wanted ", wanted));
}

template <typename Number>
void parse_number(const std::string& what, const FieldText& field, const std::string& text,
                  const char* kind, Number& target) {
  const char* end = text.data() + text.size();
  const std::from_chars_result result = std::from_chars(text.data(), end, target);
  const auto value = static_cast<double>(target);
  // NaN fails the comparison, infinity is refused although no bound says so.
  const bool valid = result.ec == std::errc() && result.ptr == end && std::isfinite(value) &&
                     value >= field.lowest && value <= field.highest;
  if (!valid) throw_value(what, text, range_text(field, kind));
}

bool takes_value(const FieldText& field) { return !field.value.empty(); }

// The place of the field that a long name (or alias) means; fields.size() for none.
std::size_t find_name(std::span<const FieldText> fields, std::string_view name) {
  const auto found = std::find_if(fields.begin(), fields.end(), [&](const FieldText& field) {
    return field.name == name || (!field.alias.empty() && field.alias == name);
  });
  return static_cast<std::size_t>(found - fields.begin());
}

std::size_t find_letter(std::span<const FieldText> fields, char letter) {
  const auto found = std::find_if(fields.begin(), fields.end(), [&](const FieldText& field) {
    return field.letter == letter && letter != 0;
  });
  return static_cast<std::size_t>(found - fields.begin());
}

[[noreturn]] void throw_unknown(std::span<const FieldText> fields, const std::string& flag) {
  std::vector<std::string> known;
  for (const FieldText& field : fields) {
    known.emplace_back(field.name);
    if (!field.alias.empty()) known.emplace_back(field.alias);
  }
  // Dashes alone have no name, and nothing is near to that.
  const std::string name = flag.substr(std::min(flag.find_first_not_of('-'), flag.size()));
  const std::string nearest = engine::nearest_name(name, known);
  const std::string hint =
      nearest.empty() ? "; --help lists them all" : concat("; did you mean --", nearest, "?");
  throw Error(ErrorCode::kInvalidArgument, concat("unknown flag ", flag, hint));
}

// The field of a word that starts like a flag; fields.size() where there is none of that name.
std::size_t find_flag(std::span<const FieldText> fields, const std::string& flag) {
  if (flag.starts_with("--")) return find_name(fields, std::string_view(flag).substr(2));
  return flag.size() == 2 && flag[0] == '-' ? find_letter(fields, flag[1]) : fields.size();
}

}  // namespace

std::string to_text(const FrameSize& size) { return concat(size.width, "x", size.height); }

void parse_value(const std::string& what, const FieldText& field, const std::string& text,
                 std::int64_t& target) {
  parse_number(what, field, text, "a whole number", target);
}

void parse_value(const std::string& what, const FieldText& field, const std::string& text,
                 std::uint64_t& target) {
  const char* end = text.data() + text.size();
  const std::from_chars_result result = std::from_chars(text.data(), end, target);
  const bool valid = result.ec == std::errc() && result.ptr == end;
  if (!valid || static_cast<double>(target) < field.lowest) {
    throw_value(what, text, "a whole number from 0 to 18446744073709551615");
  }
}

void parse_value(const std::string& what, const FieldText& field, const std::string& text,
                 double& target) {
  parse_number(what, field, text, "a number", target);
}

void parse_value(const std::string&, const FieldText&, const std::string& text,
                 std::string& target) {
  target = text;
}

void parse_value(const std::string& what, const FieldText&, const std::string& text,
                 FrameSize& target) {
  const char* end = text.data() + text.size();
  const std::from_chars_result width = std::from_chars(text.data(), end, target.width);
  bool valid =
      width.ec == std::errc() && width.ptr != end && (*width.ptr == 'x' || *width.ptr == 'X');
  if (valid) {
    const std::from_chars_result height = std::from_chars(width.ptr + 1, end, target.height);
    valid = height.ec == std::errc() && height.ptr == end && target.width > 0 && target.height > 0;
  }
  if (!valid) throw_value(what, text, "WIDTHxHEIGHT, for example 832x480");
}

void parse_value(const std::string&, const FieldText&, const std::string&, bool& target) {
  target = true;
}

std::vector<Argument> split_arguments(std::span<const FieldText> fields,
                                      std::span<const std::string> arguments) {
  std::vector<Argument> result;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    PSAGEN_CHECK(word.size() >= 2 && word[0] == '-' && word != "--", ErrorCode::kInvalidArgument,
                 "'", word, "' belongs to no flag; a text with spaces needs quotes, and --help ",
                 "lists the flags");
    const std::size_t equals = word.starts_with("--") ? word.find('=') : std::string::npos;
    Argument argument;
    argument.flag = word.substr(0, equals);
    argument.field = find_flag(fields, argument.flag);
    if (argument.field == fields.size()) throw_unknown(fields, argument.flag);
    const FieldText& field = fields[argument.field];
    for (const Argument& earlier : result) {
      PSAGEN_CHECK(earlier.field != argument.field, ErrorCode::kInvalidArgument, "--", field.name,
                   " is given twice");
    }
    if (!takes_value(field)) {
      PSAGEN_CHECK(equals == std::string::npos, ErrorCode::kInvalidArgument, argument.flag,
                   " takes no value");
    } else if (equals != std::string::npos) {
      argument.text = word.substr(equals + 1);
    } else {
      PSAGEN_CHECK(i + 1 < arguments.size(), ErrorCode::kInvalidArgument, argument.flag,
                   " needs a value: ", argument.flag, " ", field.value);
      argument.text = arguments[++i];
      PSAGEN_CHECK(find_flag(fields, argument.text) == fields.size(), ErrorCode::kInvalidArgument,
                   argument.flag, " needs a value, found the flag ", argument.text, "; write --",
                   field.name, "=", argument.text, " if that is meant");
    }
    result.push_back(std::move(argument));
  }
  return result;
}

void throw_rivals(std::string_view one, std::string_view other, const std::string& source) {
  throw Error(ErrorCode::kInvalidArgument,
              concat(source, " gives both ", one, " and ", other, "; wanted one of them"));
}

}  // namespace psagen::app
