// Token ids against sentencepiece and transformers on the same small model; the fixture, with the
// versions, is made by scripts/export_golden_text.py.
#include "engine/text/tokenizer.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace psagen::engine {
namespace {

TEST(GoldenTokenizer, AgreesWithThePythonPackages) {
  const std::string data = std::string(PSAGEN_SOURCE_DIR) + "/tests/data";
  std::ifstream in(data + "/golden/tokenizer.json");
  const nlohmann::json fixture = nlohmann::json::parse(in);
  const Tokenizer tokenizer(data + "/tiny_model/tokenizer", 1, 384);
  int num_truncated = 0;
  for (const nlohmann::json& one : fixture.at("cases")) {
    SCOPED_TRACE(one.dump());
    const TokenizedPrompt prompt = tokenizer.encode(one.at("text").get<std::string>(),
                                                    one.at("max_tokens").get<std::int64_t>());
    EXPECT_EQ(prompt.cleaned, one.at("cleaned").get<std::string>());
    EXPECT_EQ(prompt.ids, one.at("ids").get<std::vector<std::int32_t>>());
    EXPECT_EQ(prompt.truncated, one.at("truncated").get<bool>());
    EXPECT_EQ(prompt.kept, one.at("kept").get<std::string>());
    num_truncated += prompt.truncated ? 1 : 0;
  }
  EXPECT_GE(num_truncated, 40);
}

}  // namespace
}  // namespace psagen::engine
