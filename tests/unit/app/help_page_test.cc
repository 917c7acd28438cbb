#include "app/help_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>

#include "app/command.h"
#include "app/options.h"

namespace psagen::app {
namespace {

using ::testing::HasSubstr;

TEST(HelpPage, FitsEightyColumnsAndNamesEveryFlag) {
  const std::string page = flag_section(field_texts(generate_table()));
  std::istringstream lines(page);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 80U) << line;
    EXPECT_FALSE(line.ends_with(' ')) << "'" << line << "'";
  }
  for (const Field<GenerateOptions>& field : generate_table()) {
    EXPECT_THAT(page, HasSubstr("--" + std::string(field.text.name)));
  }
}

TEST(HelpPage, WrapsBetweenWords) {
  EXPECT_EQ(wrapped("start: ", "one two"), "start: one two\n");
  const std::string text = wrapped("  ", std::string(70, 'a') + " " + std::string(20, 'b'));
  EXPECT_EQ(text, "  " + std::string(70, 'a') + "\n  " + std::string(20, 'b') + "\n");
}

TEST(HelpPage, ListsEveryExitCode) {
  const std::string page = exit_code_section();
  for (const Phase phase : {Phase::kSettings, Phase::kFiles}) {
    for (int code = 0; code <= static_cast<int>(ErrorCode::kInternal); ++code) {
      const std::string number = std::to_string(exit_code(static_cast<ErrorCode>(code), phase));
      EXPECT_THAT(page, HasSubstr(" " + number + "  "));
    }
  }
}

}  // namespace
}  // namespace psagen::app
