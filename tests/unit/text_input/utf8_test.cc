#include "engine/text/utf8.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "tests/support/expect_error.h"

namespace psagen::engine {
namespace {

using testing::expect_error;

TEST(Utf8, RoundTripsEveryCodePoint) {
  std::u32string all;
  for (char32_t code = 0; code <= 0x10ffff; ++code)
    if (code < 0xd800 || code > 0xdfff) all.push_back(code);
  const std::string bytes = encode_utf8(all);
  EXPECT_EQ(bytes.size(),
            0x80u + 2 * (0x800 - 0x80) + 3 * (0x10000 - 0x800 - 0x800) + 4 * 0x100000);
  EXPECT_TRUE(decode_utf8(bytes, "x") == all);
  EXPECT_EQ(first_invalid_utf8(bytes), std::nullopt);
}

TEST(Utf8, EncodesAsTheStandardSays) {
  EXPECT_EQ(encode_utf8(U"$¢€\U00010348"), "\x24\xc2\xa2\xe2\x82\xac\xf0\x90\x8d\x88");
}

// Table 3-7 of the Unicode standard: which second bytes a lead byte allows.
TEST(Utf8, AcceptsExactlyTheWellFormedSequences) {
  const auto is_well_formed = [](int lead, int second) {
    if (lead >= 0xc2 && lead <= 0xdf) return second >= 0x80 && second <= 0xbf;
    if (lead == 0xe0) return second >= 0xa0 && second <= 0xbf;
    if (lead == 0xed) return second >= 0x80 && second <= 0x9f;
    if (lead >= 0xe1 && lead <= 0xef) return second >= 0x80 && second <= 0xbf;
    if (lead == 0xf0) return second >= 0x90 && second <= 0xbf;
    if (lead >= 0xf1 && lead <= 0xf3) return second >= 0x80 && second <= 0xbf;
    if (lead == 0xf4) return second >= 0x80 && second <= 0x8f;
    return false;
  };
  for (int lead = 0x80; lead <= 0xff; ++lead) {
    for (int second = 0; second <= 0xff; ++second) {
      std::string text = {static_cast<char>(lead), static_cast<char>(second)};
      if (lead >= 0xe0) text += '\x80';
      if (lead >= 0xf0) text += '\x80';
      const std::optional<std::size_t> wanted =
          is_well_formed(lead, second) ? std::nullopt : std::optional<std::size_t>(0);
      ASSERT_EQ(first_invalid_utf8(text), wanted) << std::hex << lead << " " << second;
    }
  }
}

TEST(Utf8, NamesThePlaceOfTheFirstBadByte) {
  EXPECT_EQ(first_invalid_utf8("abc\xff"), 3u);
  EXPECT_EQ(first_invalid_utf8("猫\xe7\x8c"), 3u);  // cut short
  EXPECT_EQ(first_invalid_utf8("\xe7\x8c\x41"), 0u);
  EXPECT_EQ(first_invalid_utf8(std::string("\0猫", 4)), std::nullopt);
  EXPECT_EQ(first_invalid_utf8(""), std::nullopt);
  expect_error(ErrorCode::kInvalidArgument,
               {"the prompt is not valid UTF-8: byte 0xc3 at offset 12"},
               [] { decode_utf8("twelve bytes\xc3(", "the prompt"); });
}

}  // namespace
}  // namespace psagen::engine
