// Cleaned prompts against ftfy, html and regex as the Wan pipeline of Diffusers calls them; the
// fixture, with the versions, is made by scripts/export_golden_text.py.
#include "engine/text/prompt_cleaning.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

namespace psagen::engine {
namespace {

TEST(GoldenPromptCleaning, AgreesWithThePythonPackages) {
  std::ifstream in(std::string(PSAGEN_SOURCE_DIR) + "/tests/data/golden/text_cleaning.json");
  const nlohmann::json fixture = nlohmann::json::parse(in);
  ASSERT_GE(fixture.at("cases").size(), 400u);
  for (const nlohmann::json& one : fixture.at("cases")) {
    const auto text = one.at("text").get<std::string>();
    EXPECT_EQ(clean_prompt(text), one.at("cleaned").get<std::string>()) << one.at("text").dump();
  }
}

}  // namespace
}  // namespace psagen::engine
