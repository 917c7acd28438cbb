// Prompt text as the Wan pipelines clean it before they tokenise (spec/wan 2.1): the repairs of
// ftfy.fix_text 6.3, HTML unescaping twice, and every run of white space as one space. No folding
// of case, nothing done to punctuation but straight quotes and standard widths.
//
// Left out: ftfy's repair of mojibake (UTF-8 once read in another encoding). It is a heuristic that
// guesses encodings and only touches text that was damaged before it got here; such text stays as
// the user gave it.
#pragma once

#include <string>
#include <string_view>

namespace psagen::engine {

// Throws Error(kInvalidArgument) for text that is not UTF-8, with the byte's offset, and for text
// of more than a million bytes.
std::string clean_prompt(std::string_view text);

}  // namespace psagen::engine
