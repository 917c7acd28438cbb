#include "app/options.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace psagen::app {
namespace {

TEST(Options, NamesAreUniqueAndRivalsAreMutual) {
  std::set<std::string> names;
  std::set<char> letters;
  for (const Field<GenerateOptions>& field : generate_table()) {
    EXPECT_TRUE(names.insert(std::string(field.text.name)).second) << field.text.name;
    if (!field.text.alias.empty()) {
      EXPECT_TRUE(names.insert(std::string(field.text.alias)).second) << field.text.alias;
    }
    if (field.text.letter != 0) {
      EXPECT_TRUE(letters.insert(field.text.letter).second) << field.text.letter;
    }
    EXPECT_FALSE(field.text.help.empty()) << field.text.name;
    EXPECT_FALSE(field.text.group.empty()) << field.text.name;
    if (field.text.rival.empty()) continue;
    bool is_mutual = false;
    for (const Field<GenerateOptions>& other : generate_table()) {
      is_mutual =
          is_mutual || (other.text.name == field.text.rival && other.text.rival == field.text.name);
    }
    EXPECT_TRUE(is_mutual) << field.text.name;
  }
}

TEST(Options, EveryFlagHasItsOwnMember) {
  for (const Field<GenerateOptions>& field : generate_table()) {
    const std::string flag = "--" + std::string(field.text.name);
    const bool is_switch = field.text.value.empty();
    const std::string value = field.text.name == "size" ? "16x16" : "1";
    const std::vector<std::string> words =
        is_switch ? std::vector<std::string>{flag} : std::vector<std::string>{flag, value};
    const GenerateOptions options = parse_options(words);
    int given = 0;
    for (const Field<GenerateOptions>& other : generate_table()) {
      given += is_given(options, other) ? 1 : 0;
    }
    EXPECT_EQ(given, 1) << flag;
    EXPECT_TRUE(is_given(options, field)) << flag;
  }
}

TEST(Options, AValueOfTwoLettersIsNoFlag) {
  const GenerateOptions options = parse_options(
      std::vector<std::string>{"--prompt", "up", "--vae-tiling", "on", "-n", "no", "-o", "so"});
  EXPECT_EQ(options.prompt, "up");
  EXPECT_EQ(options.vae_tiling, "on");
  EXPECT_EQ(options.negative_prompt, "no");
  EXPECT_EQ(options.output, "so");
  try {
    parse_options(std::vector<std::string>{"--prompt", "-o"});
    FAIL() << "a flag as a value";
  } catch (const Error& error) {
    EXPECT_NE(error.message().find("found the flag -o"), std::string::npos) << error.message();
  }
}

}  // namespace
}  // namespace psagen::app
