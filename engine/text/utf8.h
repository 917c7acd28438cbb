// UTF-8 to code points and back.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace psagen::engine {

// Offset of the first byte that does not belong to well-formed UTF-8 (no surrogates, no overlong
// forms, nothing above U+10FFFF); nothing where all is well.
std::optional<std::size_t> first_invalid_utf8(std::string_view text);

// Throws Error(kInvalidArgument): `WHAT is not valid UTF-8: byte 0xff at offset 3`.
std::u32string decode_utf8(std::string_view text, const std::string& what);

// Of code points as decode_utf8 gives them.
std::string encode_utf8(std::u32string_view text);

}  // namespace psagen::engine
