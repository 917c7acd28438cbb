// What a misspelt name was probably meant to be: used wherever a person types a name (JSON keys,
// command-line options, presets, samplers).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace psagen::engine {

// Fewest single-character insertions, deletions, replacements and swaps of neighbours that turn one
// text into the other (restricted Damerau-Levenshtein distance), over bytes.
std::size_t edit_distance(std::string_view a, std::string_view b);

// The known name closest to `found`, letter case and '-' against '_' not counting; the first of
// equals. Empty where none is close enough to be a likely misspelling.
std::string nearest_name(std::string_view found, const std::vector<std::string>& known);

// For the end of a message: `; did you mean "x"?` where a known name is near, else
// `; known: a, b, c`, else nothing.
std::string name_suggestion(std::string_view found, const std::vector<std::string>& known);

}  // namespace psagen::engine
