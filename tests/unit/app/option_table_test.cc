#include "app/option_table.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "tests/support/expect_error.h"

namespace psagen::app {
namespace {

using psagen::testing::expect_error;

struct Sample {
  std::optional<std::string> text;
  std::optional<std::int64_t> count;
  std::optional<std::uint64_t> seed;
  std::optional<double> scale;
  std::optional<FrameSize> size;
  std::optional<bool> loud;
};

const auto kTable = std::to_array<Field<Sample>>({
    {{.name = "text", .letter = 't', .value = "TEXT", .rival = "count"}, &Sample::text},
    {{.name = "count", .value = "N", .lowest = 1, .highest = 9, .rival = "text"}, &Sample::count},
    {{.name = "seed", .value = "N"}, &Sample::seed},
    {{.name = "scale", .alias = "factor", .value = "X", .lowest = -2}, &Sample::scale},
    {{.name = "size", .value = "WxH"}, &Sample::size},
    {{.name = "loud", .letter = 'l'}, &Sample::loud},
});

Sample parse(const std::vector<std::string>& arguments) {
  return parse_flags(Table<Sample>(kTable), arguments);
}

void expect_bad(const std::vector<std::string>& arguments, const std::vector<std::string>& parts) {
  expect_error(ErrorCode::kInvalidArgument, parts, [&] { parse(arguments); });
}

TEST(OptionTable, ReadsEveryForm) {
  const Sample none = parse({});
  EXPECT_FALSE(none.text || none.count || none.seed || none.scale || none.size || none.loud);
  EXPECT_EQ(parse({"--text", "two words"}).text, "two words");
  EXPECT_EQ(parse({"--text=a=b"}).text, "a=b");
  EXPECT_EQ(parse({"--text="}).text, "");
  EXPECT_EQ(parse({"-t", ""}).text, "");
  EXPECT_EQ(parse({"-t", "-5"}).text, "-5");
  EXPECT_EQ(parse({"--text=--count"}).text, "--count");
  EXPECT_EQ(parse({"--scale", "-1.5"}).scale, -1.5);
  EXPECT_EQ(parse({"--factor", "1e3"}).scale, 1000.0);
  EXPECT_EQ(parse({"--seed", "18446744073709551615"}).seed, 18446744073709551615ULL);
  EXPECT_EQ(parse({"--size", "832x480"}).size, (FrameSize{832, 480}));
  EXPECT_EQ(parse({"--size", "16X16"}).size, (FrameSize{16, 16}));
  EXPECT_EQ(parse({"-l", "--count", "9"}).loud, true);
}

TEST(OptionTable, NamesWhatIsWrong) {
  expect_bad({"--txt", "x"}, {"--txt", "--text"});
  expect_bad({"--zzzzzzzz"}, {"--zzzzzzzz", "--help"});
  expect_bad({"-z"}, {"-z"});
  expect_bad({"-tx"}, {"-tx"});
  expect_bad({"word"}, {"'word'"});
  expect_bad({"--"}, {"'--'"});
  expect_bad({"-"}, {"'-'"});
  expect_bad({""}, {"''"});
  expect_bad({"--="}, {"--"});
  expect_bad({"---"}, {"---"});
  expect_bad({"--count"}, {"--count N"});
  expect_bad({"--count", "--loud"}, {"--count", "--loud"});
  expect_bad({"--count", "-l"}, {"--count", "-l"});
  expect_bad({"--loud=1"}, {"--loud takes no value"});
  expect_bad({"-l", "--loud"}, {"--loud is given twice"});
  expect_bad({"--scale", "1", "--factor", "2"}, {"--scale is given twice"});
  expect_bad({"--text", "x", "--count", "2"}, {"text", "count"});
}

TEST(OptionTable, NumbersAreWholeAndInBounds) {
  for (const char* text : {"0", "10", "1.5", "two", "", " 3", "3 ", "+3", "99999999999999999999"}) {
    expect_bad({"--count", text}, {"--count", "from 1 to 9"});
  }
  for (const char* text : {"nan", "inf", "-inf", "-2.5", "1x", "1e999", "0x10"}) {
    expect_bad({"--scale", text}, {"--scale", "at least -2"});
  }
  for (const char* text : {"-1", "18446744073709551616", "1.0", "0x1"}) {
    expect_bad({"--seed", text}, {"--seed", "18446744073709551615"});
  }
  for (const char* text : {"832", "x480", "832x", "832x480x3", "-1x5", "0x16", "16x0", "a x b",
                           "9223372036854775808x16"}) {
    expect_bad({"--size", text}, {"--size", "WIDTHxHEIGHT"});
  }
}

TEST(OptionTable, UpperLayersWinAndSilenceRivals) {
  const Table<Sample> table = kTable;
  Sample upper;
  upper.scale = 1.0;
  upper.count = 3;
  Sample lower;
  lower.scale = 2.0;
  lower.text = "silenced by count";
  lower.seed = 7;
  const Sample both = lay_over(upper, lower, table);
  EXPECT_EQ(both.scale, 1.0);
  EXPECT_EQ(both.count, 3);
  EXPECT_FALSE(both.text);
  EXPECT_EQ(both.seed, 7U);
  EXPECT_EQ(lay_over(Sample{}, lower, table).text, "silenced by count");
}

}  // namespace
}  // namespace psagen::app
