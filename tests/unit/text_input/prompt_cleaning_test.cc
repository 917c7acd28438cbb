// One case a repair; the comparison with the Python packages is in tests/golden/tokenizer.
#include "engine/text/prompt_cleaning.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/expect_error.h"

namespace psagen::engine {
namespace {

using testing::expect_error;

TEST(PromptCleaning, LeavesCleanTextAlone) {
  for (const std::string text :
       {"", "A red fox jumps over snow.", "Привет, мир!", "猫が座る", "👩‍👩‍👧"})
    EXPECT_EQ(clean_prompt(text), text);
}

TEST(PromptCleaning, FoldsWidths) {
  EXPECT_EQ(clean_prompt("过曝，静态"), "过曝,静态");
  EXPECT_EQ(clean_prompt("ＡＢＣ　１２３"), "ABC 123");
  EXPECT_EQ(clean_prompt("ｶﾞ"), "ガ");  // letter and mark become one
}

TEST(PromptCleaning, StraightensQuotesAndSplitsLigatures) {
  EXPECT_EQ(clean_prompt("“a” ‘b’"), "\"a\" 'b'");
  EXPECT_EQ(clean_prompt("ﬂuﬃest"), "fluffiest");
}

TEST(PromptCleaning, RemovesControlCharactersAndTerminalEscapes) {
  EXPECT_EQ(clean_prompt(std::string("a\0b\x07\x7f", 5) + "\ufeff"), "ab");
  EXPECT_EQ(clean_prompt("\x1b[36;44mblue\x1b[0m"), "blue");
  EXPECT_EQ(clean_prompt("\x1b[12"), "[12");
}

TEST(PromptCleaning, ComposesAccents) {
  EXPECT_EQ(clean_prompt("cafe\u0301"), "café");
  EXPECT_EQ(clean_prompt("\u1112\u1161\u11ab"), "한");
}

TEST(PromptCleaning, UnescapesHtmlUntilNothingIsLeft) {
  EXPECT_EQ(clean_prompt("a &amp;amp;amp;amp; b"), "a & b");
  EXPECT_EQ(clean_prompt("&lt;b&gt; &EACUTE;"), "<b> É");
  // With a '<' in sight only the two passes of the pipeline are left.
  EXPECT_EQ(clean_prompt("<b> &amp;amp;amp; &EACUTE;"), "<b> &amp; &EACUTE;");
}

TEST(PromptCleaning, MakesOneSpaceOfAnyWhiteSpace) {
  EXPECT_EQ(clean_prompt("\u3000 a\t\r\n\u2028b \u00a0&nbsp; c\n"), "a b c");
  EXPECT_EQ(clean_prompt(" \n\t "), "");
}

// Quoted from ftfy's documentation: mojibake it would repair and this program does not.
TEST(PromptCleaning, DoesNotGuessEncodings) { EXPECT_EQ(clean_prompt("sÃ³"), "sÃ³"); }

TEST(PromptCleaning, IsIdempotentOnItsResult) {
  for (const std::string text : {"ＡＢＣ “x” ﬁ", "a &amp; b", "1 < 2 &amp; 3", "ｶﾞ\ncafe\u0301"})
    EXPECT_EQ(clean_prompt(clean_prompt(text)), clean_prompt(text)) << text;
}

TEST(PromptCleaning, RefusesWhatIsNoText) {
  expect_error(ErrorCode::kInvalidArgument, {"the prompt", "not valid UTF-8", "0xe4", "offset 2"},
               [] { clean_prompt("a \xe4"); });
  expect_error(ErrorCode::kInvalidArgument, {"1000001 bytes", "at most 1000000"},
               [] { clean_prompt(std::string(1'000'001, 'a')); });
}

}  // namespace
}  // namespace psagen::engine
