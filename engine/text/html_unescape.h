// HTML character references -> characters, by the two sets of rules the Wan pipelines apply.
#pragma once

#include <string>
#include <string_view>

namespace psagen::engine {

// As HTML 5 reads them, Python's html.unescape: old names also without ';' and as the start of a
// longer word, numbers with the replacements of the standard.
std::u32string html_unescape(std::u32string_view text);

// As ftfy reads them: only references closed by ';', names of at most 24 characters, and upper-case
// spellings of lower-case names too.
std::u32string html_unescape_closed(std::u32string_view text);

// What a control character U+0080..U+009F stands for when it is taken for a byte of Windows-1252;
// the five that encoding leaves open stay.
char32_t windows_1252_character(char32_t code);

}  // namespace psagen::engine
