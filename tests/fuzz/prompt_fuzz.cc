// A prompt of any bytes: cleaned text keeps its promises, and its tokens are within bounds. The
// first byte is the limit of tokens.
#include <algorithm>
#include <filesystem>

#include "engine/text/prompt_cleaning.h"
#include "engine/text/tokenizer.h"
#include "engine/text/utf8.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

using psagen::testing::expect;

constexpr std::int64_t kVocab = 384;

const psagen::engine::Tokenizer& tokenizer() {
  static const psagen::engine::Tokenizer kTokenizer(
      std::filesystem::path(PSAGEN_SOURCE_DIR) / "tests/data/tiny_model/tokenizer", 1, kVocab);
  return kTokenizer;
}

void check_cleaned(const std::string& text) {
  expect(!psagen::engine::first_invalid_utf8(text), "cleaned text is UTF-8");
  expect(text.find("  ") == text.npos, "cleaned text has single spaces");
  expect(text.empty() || (text.front() != ' ' && text.back() != ' '), "and none at its ends");
  expect(text.find_first_of("\n\r\t\v\f") == text.npos, "and no other white space");
}

void check_tokens(const psagen::engine::TokenizedPrompt& prompt, std::int64_t max_tokens) {
  expect(!prompt.ids.empty() && prompt.ids.back() == 1, "the end token is last");
  expect(static_cast<std::int64_t>(prompt.ids.size()) <= max_tokens, "the limit holds");
  for (const std::int32_t id : prompt.ids) expect(id >= 0 && id < kVocab, "ids index the table");
  expect(prompt.cleaned.compare(0, prompt.kept.size(), prompt.kept) == 0, "kept is the beginning");
  expect(!psagen::engine::first_invalid_utf8(prompt.kept), "kept is UTF-8");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::int64_t max_tokens = 1 + data[0];
  const std::string text = psagen::testing::as_text(data + 1, size - 1);
  psagen::testing::allow_errors([&] {
    const std::string cleaned = psagen::engine::clean_prompt(text);
    check_cleaned(cleaned);
    const psagen::engine::TokenizedPrompt prompt = tokenizer().encode(text, max_tokens);
    expect(prompt.cleaned == cleaned, "the tokenizer cleans as the cleaner does");
    check_tokens(prompt, max_tokens);
  });
  return 0;
}
