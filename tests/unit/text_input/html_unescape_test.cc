// Rules of the HTML standard (13.2.5.72 to 13.2.5.80) and ftfy's narrower ones; whole prompts are
// compared with the Python packages in tests/golden/tokenizer.
#include "engine/text/html_unescape.h"

#include <gtest/gtest.h>

#include <string>

#include "engine/text/utf8.h"

namespace psagen::engine {
namespace {

std::string html(const std::string& text) {
  return encode_utf8(html_unescape(decode_utf8(text, "text")));
}

std::string closed(const std::string& text) {
  return encode_utf8(html_unescape_closed(decode_utf8(text, "text")));
}

TEST(HtmlUnescape, ReadsNames) {
  EXPECT_EQ(html("&lt;b&gt; &eacute; &hellip;"), "<b> é …");
  EXPECT_EQ(html("&bne;"), "=\u20e5");  // two characters
  EXPECT_EQ(html("&CounterClockwiseContourIntegral;"), "∳");
  EXPECT_EQ(html("&unknown; & &;"), "&unknown; & &;");
  EXPECT_EQ(html("&EACUTE;"), "&EACUTE;");
}

TEST(HtmlUnescape, ReadsOldNamesWithoutTheirEnd) {
  EXPECT_EQ(html("&amp &ampx &notit; &notin;"), "& &x ¬it; ∉");
  EXPECT_EQ(html("&hellip"), "&hellip");  // a name HTML knows only with ';'
}

TEST(HtmlUnescape, ReadsNumbers) {
  EXPECT_EQ(html("&#65;&#x42;&#X43;&#68"), "ABCD");
  EXPECT_EQ(html("&#x1F600;"), "😀");
  EXPECT_EQ(html("&#0;&#xD800;&#x110000;&#99999999999999999999;"), "\ufffd\ufffd\ufffd\ufffd");
  EXPECT_EQ(html("&#x92;&#128;"), "’€");  // Windows-1252
  EXPECT_EQ(html("a&#1;&#xFDD0;&#xFFFF;b"), "ab");
  EXPECT_EQ(html("&#; &#x; &#xg;"), "&#; &#x; &#xg;");
}

TEST(HtmlUnescape, ReadsEachReferenceOnce) {
  EXPECT_EQ(html("&amp;lt;"), "&lt;");
  EXPECT_EQ(html("&#38;lt;"), "&lt;");
  EXPECT_EQ(html("&&amp;&"), "&&&");
}

TEST(HtmlUnescapeClosed, WantsTheEndOfEveryReference) {
  EXPECT_EQ(closed("&amp;&amp &ampx;"), "&&amp &ampx;");
  EXPECT_EQ(closed("&#65;&#65 &#65A;"), "A&#65 &#65A;");
  EXPECT_EQ(closed("&#59;"), "&#59;");
}

TEST(HtmlUnescapeClosed, TakesUpperCaseForLowerCase) {
  EXPECT_EQ(closed("&EACUTE; &SZLIG;"), "É SS");
  EXPECT_EQ(closed("&nTILDE;"), "&nTILDE;");
}

TEST(HtmlUnescapeClosed, LeavesLongNames) {
  EXPECT_EQ(closed("&NotSquareSupersetEqual;"), "⋣");  // 22 letters
  EXPECT_EQ(closed("&NotGreaterSlantEqualAndMore;"), "&NotGreaterSlantEqualAndMore;");
  EXPECT_EQ(closed("&CounterClockwiseContourIntegral;"), "&CounterClockwiseContourIntegral;");
}

}  // namespace
}  // namespace psagen::engine
