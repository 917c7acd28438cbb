// The order of the repairs and their tables are those of ftfy 6.3.1 (fix_and_explain, fixes.py,
// chardata.py); basic_clean and whitespace_clean are of Diffusers' pipeline_wan.py.
#include "engine/text/prompt_cleaning.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <memory>

#include "engine/text/html_unescape.h"
#include "engine/text/utf8.h"
#include "kernels/core/error.h"

namespace psagen::engine {
namespace {

constexpr std::size_t kLongestPrompt = 1'000'000;

std::u32string normalized(std::u32string_view text, int options) {
  if (std::all_of(text.begin(), text.end(), [](char32_t c) { return c < 0x80; }))
    return std::u32string(text);
  const std::string bytes = encode_utf8(text);
  utf8proc_uint8_t* mapped = nullptr;
  const utf8proc_ssize_t size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(bytes.data()),
                   static_cast<utf8proc_ssize_t>(bytes.size()), &mapped,
                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE | options));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(mapped, std::free);
  PSAGEN_CHECK(size >= 0, ErrorCode::kInternal,
               "Unicode normalisation failed: ", utf8proc_errmsg(size));
  return decode_utf8({reinterpret_cast<const char*>(mapped), static_cast<std::size_t>(size)},
                     "normalised text");
}

// Replaces characters one by one; `replace` appends what stands for the character.
template <typename Replace>
std::u32string translated(std::u32string_view text, Replace replace) {
  std::u32string result;
  result.reserve(text.size());
  for (const char32_t c : text) replace(c, result);
  return result;
}

// Latin letters joined into one character; other scripts may mean theirs.
void split_ligature(char32_t c, std::u32string& out) {
  struct Ligature {
    char32_t joined;
    const char32_t* letters;
  };
  constexpr Ligature kLigatures[] = {
      {0x0132, U"IJ"},      {0x0133, U"ij"},      {0x0149, U"\u02bcn"}, {0x01c4, U"D\u017d"},
      {0x01c5, U"D\u017e"}, {0x01c6, U"d\u017e"}, {0x01c7, U"LJ"},      {0x01c8, U"Lj"},
      {0x01c9, U"lj"},      {0x01ca, U"NJ"},      {0x01cb, U"Nj"},      {0x01cc, U"nj"},
      {0x01f1, U"DZ"},      {0x01f2, U"Dz"},      {0x01f3, U"dz"},      {0xfb00, U"ff"},
      {0xfb01, U"fi"},      {0xfb02, U"fl"},      {0xfb03, U"ffi"},     {0xfb04, U"ffl"},
      {0xfb05, U"\u017ft"}, {0xfb06, U"st"}};
  for (const Ligature& ligature : kLigatures) {
    if (ligature.joined != c) continue;
    out += ligature.letters;
    return;
  }
  out.push_back(c);
}

// Half- and full-width forms, and the ideographic space.
void fold_width(char32_t c, std::u32string& out) {
  if (c == 0x3000) {
    out.push_back(' ');
  } else if (c >= 0xff01 && c <= 0xffef) {
    out += normalized({&c, 1}, UTF8PROC_COMPAT);
  } else {
    out.push_back(c);
  }
}

void straighten_quote(char32_t c, std::u32string& out) {
  const bool is_single = c == 0x02bc || (c >= 0x2018 && c <= 0x201b);
  const bool is_double = c >= 0x201c && c <= 0x201f;
  out.push_back(is_single ? U'\'' : is_double ? U'"' : c);
}

std::u32string with_line_feeds(std::u32string_view text) {
  std::u32string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char32_t c = text[i];
    if (c == '\r' && i + 1 < text.size() && text[i + 1] == '\n') continue;
    const bool is_break = c == '\r' || c == 0x2028 || c == 0x2029 || c == 0x85;
    result.push_back(is_break ? U'\n' : c);
  }
  return result;
}

// ESC [ numbers letter: colours and cursor movements of terminals.
std::u32string without_terminal_escapes(std::u32string_view text) {
  const auto is_parameter = [](char32_t c) {
    return c == ';' || utf8proc_category(static_cast<utf8proc_int32_t>(c)) == UTF8PROC_CATEGORY_ND;
  };
  std::u32string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == 0x1b && i + 1 < text.size() && text[i + 1] == '[') {
      std::size_t end = i + 2;
      while (end < text.size() && is_parameter(text[end])) ++end;
      const char32_t last = end < text.size() ? text[end] : 0;
      if ((last >= 'a' && last <= 'z') || (last >= 'A' && last <= 'Z')) {
        i = end;
        continue;
      }
    }
    result.push_back(text[i]);
  }
  return result;
}

void drop_control(char32_t c, std::u32string& out) {
  const bool is_ascii_control = c <= 0x08 || c == 0x0b || (c >= 0x0e && c <= 0x1f) || c == 0x7f;
  const bool is_format =
      (c >= 0x206a && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffc);
  if (!is_ascii_control && !is_format) out.push_back(c);
}

// One line of ftfy: the repairs are repeated until they find nothing more.
std::u32string repaired(std::u32string text, bool unescape) {
  const auto from_c1 = [](char32_t c, std::u32string& out) {
    out.push_back(windows_1252_character(c));
  };
  for (;;) {
    std::u32string next = unescape ? html_unescape_closed(text) : text;
    next = translated(next, from_c1);
    next = translated(next, split_ligature);
    next = translated(next, fold_width);
    next = translated(next, straighten_quote);
    next = with_line_feeds(next);
    next = without_terminal_escapes(next);
    next = translated(next, drop_control);
    next = normalized(next, 0);
    if (next == text) return next;
    text = std::move(next);
  }
}

// ftfy leaves HTML alone from the first line on that holds a '<', which may be meant as HTML.
std::u32string fix_text(const std::u32string& text) {
  std::u32string result;
  bool unescape = true;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(U'\n', begin), text.size() - 1) + 1;
    std::u32string line = text.substr(begin, end - begin);
    if (line.find(U'<') != line.npos) unescape = false;
    result += repaired(std::move(line), unescape);
    begin = end;
  }
  return result;
}

bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
         c == 0x205f || c == 0x3000;
}

std::u32string with_single_spaces(std::u32string_view text) {
  std::u32string result;
  for (const char32_t c : text) {
    if (!is_space(c)) {
      result.push_back(c);
    } else if (!result.empty() && result.back() != ' ') {
      result.push_back(' ');
    }
  }
  if (!result.empty() && result.back() == ' ') result.pop_back();
  return result;
}

}  // namespace

std::string clean_prompt(std::string_view text) {
  PSAGEN_CHECK(text.size() <= kLongestPrompt, ErrorCode::kInvalidArgument, "the prompt has ",
               text.size(), " bytes, wanted at most ", kLongestPrompt);
  const std::u32string fixed = fix_text(decode_utf8(text, "the prompt"));
  return encode_utf8(with_single_spaces(html_unescape(html_unescape(fixed))));
}

}  // namespace psagen::engine
