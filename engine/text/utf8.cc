#include "engine/text/utf8.h"

#include <cstdint>

#include "kernels/core/error.h"

namespace psagen::engine {
namespace {

constexpr char32_t kBad = 0xffffffff;

// The code point that starts at text[at]; moves `at` behind it. kBad where there is none, with `at`
// left alone.
char32_t next_code_point(std::string_view text, std::size_t& at) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t lead = byte(at);
  if (lead < 0x80) {
    ++at;
    return lead;
  }
  const int length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() - at < static_cast<std::size_t>(length))
    return kBad;
  char32_t code = lead & (0x7fu >> length);
  for (int i = 1; i < length; ++i) {
    const std::uint8_t next = byte(at + static_cast<std::size_t>(i));
    if ((next & 0xc0) != 0x80) return kBad;
    code = code << 6 | (next & 0x3fu);
  }
  constexpr char32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool is_surrogate = code >= 0xd800 && code <= 0xdfff;
  if (code < kSmallest[length] || code > 0x10ffff || is_surrogate) return kBad;
  at += static_cast<std::size_t>(length);
  return code;
}

}  // namespace

std::optional<std::size_t> first_invalid_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();)
    if (next_code_point(text, at) == kBad) return at;
  return std::nullopt;
}

std::u32string decode_utf8(std::string_view text, const std::string& what) {
  std::u32string result;
  result.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const char32_t code = next_code_point(text, at);
    PSAGEN_CHECK(code != kBad, ErrorCode::kInvalidArgument, what, " is not valid UTF-8: byte 0x",
                 std::hex, static_cast<int>(static_cast<std::uint8_t>(text[at])), std::dec,
                 " at offset ", at);
    result.push_back(code);
  }
  return result;
}

std::string encode_utf8(std::u32string_view text) {
  std::string result;
  result.reserve(text.size());
  const auto trail = [&](char32_t code, int shift) {
    result.push_back(static_cast<char>(0x80u | (code >> shift & 0x3fu)));
  };
  for (const char32_t code : text) {
    if (code < 0x80) {
      result.push_back(static_cast<char>(code));
    } else if (code < 0x800) {
      result.push_back(static_cast<char>(0xc0u | code >> 6));
      trail(code, 0);
    } else if (code < 0x10000) {
      result.push_back(static_cast<char>(0xe0u | code >> 12));
      trail(code, 6);
      trail(code, 0);
    } else {
      result.push_back(static_cast<char>(0xf0u | code >> 18));
      trail(code, 12);
      trail(code, 6);
      trail(code, 0);
    }
  }
  return result;
}

}  // namespace psagen::engine
