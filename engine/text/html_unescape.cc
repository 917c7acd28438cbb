#include "engine/text/html_unescape.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <optional>

#include "engine/text/utf8.h"

namespace psagen::engine {
namespace {

enum EntityKind {
  kNamed,   // HTML 5, with ';'
  kLegacy,  // HTML 5, with or without ';'
  kUpper,   // ftfy only, with ';'
};

struct Entity {
  std::string_view name;
  std::string_view text;  // UTF-8
  EntityKind kind;
};

constexpr Entity kEntities[] = {
// sorted by name
#include "engine/text/html_entities.inc"
};

constexpr std::size_t kLongestName = 32;        // of HTML 5, also Python's limit
constexpr std::size_t kLongestClosedName = 24;  // ftfy's limit

constexpr bool is_digit(char32_t c) { return c >= '0' && c <= '9'; }
constexpr bool is_letter(char32_t c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
constexpr bool is_hex(char32_t c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

// Entity of that name; names are ASCII, so another character ends the search.
const Entity* find_entity(std::u32string_view name) {
  std::string ascii;
  for (const char32_t c : name) {
    if (c >= 0x80) return nullptr;
    ascii.push_back(static_cast<char>(c));
  }
  const auto* const it = std::lower_bound(
      std::begin(kEntities), std::end(kEntities), std::string_view(ascii),
      [](const Entity& entity, std::string_view key) { return entity.name < key; });
  return it != std::end(kEntities) && it->name == ascii ? it : nullptr;
}

std::u32string text_of(const Entity& entity) { return decode_utf8(entity.text, "an HTML entity"); }

// Code points HTML 5 refuses to be written as numbers; they vanish.
bool is_refused(char32_t code) {
  const bool is_control = (code >= 0x1 && code <= 0x8) || code == 0xb ||
                          (code >= 0xe && code <= 0x1f) || (code >= 0x7f && code <= 0x9f);
  return is_control || (code >= 0xfdd0 && code <= 0xfdef) || (code & 0xfffe) == 0xfffe;
}

std::u32string text_of_number(char32_t code) {
  if (code == 0) return U"\xfffd";
  if (code >= 0x80 && code <= 0x9f) return {windows_1252_character(code)};
  if ((code >= 0xd800 && code <= 0xdfff) || code > 0x10ffff) return U"\xfffd";
  if (is_refused(code)) return {};
  return {code};
}

// A reference found at the start of a text: how many characters it spans and what it stands for.
struct Reference {
  std::size_t length = 0;
  std::u32string text;
};

// `&#123;` or `&#x7b;`, the ';' optional.
std::optional<Reference> numeric_reference(std::u32string_view text) {
  if (text.size() < 3 || text[1] != '#') return std::nullopt;
  const bool hex = text[2] == 'x' || text[2] == 'X';
  const std::size_t begin = hex ? 3 : 2;
  std::size_t end = begin;
  char32_t code = 0;
  for (; end < text.size() && (hex ? is_hex(text[end]) : is_digit(text[end])); ++end) {
    const char32_t c = text[end];
    const char32_t digit = is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10;
    code = std::min<char32_t>(code * (hex ? 16 : 10) + digit, 0x110000);
  }
  if (end == begin) return std::nullopt;
  if (end < text.size() && text[end] == ';') ++end;
  return Reference{end, text_of_number(code)};
}

// `&name;`, or the longest old name that starts the word after '&'.
std::optional<Reference> named_reference(std::u32string_view text) {
  constexpr std::u32string_view kEnd = U"\t\n\f <&#;";
  std::size_t end = 1;
  while (end < text.size() && end <= kLongestName && kEnd.find(text[end]) == kEnd.npos) ++end;
  if (end == 1) return std::nullopt;
  const Entity* entity = find_entity(text.substr(1, end - 1));
  const bool closed = end < text.size() && text[end] == ';';
  if (entity != nullptr && closed && entity->kind != kUpper)
    return Reference{end + 1, text_of(*entity)};
  for (std::size_t length = end; length > 2; --length) {
    entity = find_entity(text.substr(1, length - 1));
    if (entity != nullptr && entity->kind == kLegacy) return Reference{length, text_of(*entity)};
  }
  return std::nullopt;
}

// `&name;`, `&#123;` or `&#x7b;`, all with ';'.
std::optional<Reference> closed_reference(std::u32string_view text) {
  std::size_t end = text.size() > 1 && text[1] == '#' ? 2 : 1;
  const std::size_t begin = end;
  while (end < text.size() && end - begin < kLongestClosedName &&
         (is_digit(text[end]) || is_letter(text[end])))
    ++end;
  if (end == begin || end == text.size() || text[end] != ';') return std::nullopt;
  if (begin == 2) {
    std::optional<Reference> number = numeric_reference(text);
    // ftfy takes a ';' in the result for one that was left over.
    const bool whole = number && number->length == end + 1 && number->text != U";";
    return whole ? number : std::nullopt;
  }
  const Entity* const entity = find_entity(text.substr(1, end - 1));
  if (entity == nullptr) return std::nullopt;
  return Reference{end + 1, text_of(*entity)};
}

template <typename Finder>
std::u32string replace_references(std::u32string_view text, Finder find) {
  std::u32string result;
  for (std::size_t at = 0; at < text.size();) {
    std::optional<Reference> reference;
    if (text[at] == '&') reference = find(text.substr(at));
    if (reference) {
      result += reference->text;
      at += reference->length;
    } else {
      result.push_back(text[at++]);
    }
  }
  return result;
}

}  // namespace

std::u32string html_unescape(std::u32string_view text) {
  return replace_references(text, [](std::u32string_view rest) {
    std::optional<Reference> reference = numeric_reference(rest);
    return reference ? reference : named_reference(rest);
  });
}

std::u32string html_unescape_closed(std::u32string_view text) {
  return replace_references(text, closed_reference);
}

char32_t windows_1252_character(char32_t code) {
  constexpr char32_t kTable[32] = {0x20ac, 0x0081, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021,
                                   0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0x008d, 0x017d, 0x008f,
                                   0x0090, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
                                   0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x009d, 0x017e, 0x0178};
  return code >= 0x80 && code <= 0x9f ? kTable[code - 0x80] : code;
}

}  // namespace psagen::engine
