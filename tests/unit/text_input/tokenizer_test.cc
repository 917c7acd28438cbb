// What goes wrong, and what holds for any model; ids are compared in tests/golden/tokenizer.
#include "engine/text/tokenizer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"

namespace psagen::engine {
namespace {

using testing::expect_error;
using testing::read_text;
using testing::TemporaryFolder;
using testing::write_text;

const std::filesystem::path kTokenizer =
    std::filesystem::path(PSAGEN_SOURCE_DIR) / "tests" / "data" / "tiny_model" / "tokenizer";
constexpr std::int64_t kVocab = 384;

TEST(Tokenizer, EndsEveryPromptWithOneEndToken) {
  const Tokenizer tokenizer(kTokenizer, 5, kVocab);  // the id comes from the configuration
  EXPECT_EQ(tokenizer.vocab_size(), kVocab);
  EXPECT_EQ(tokenizer.encode("", 512).ids, std::vector<std::int32_t>{5});
  EXPECT_EQ(tokenizer.encode(" \n ", 512).ids, std::vector<std::int32_t>{5});
  const TokenizedPrompt prompt = tokenizer.encode("A red ｃircle", 512);
  EXPECT_EQ(prompt.cleaned, "A red circle");
  EXPECT_EQ(prompt.ids.back(), 5);
  EXPECT_FALSE(prompt.truncated);
  EXPECT_EQ(prompt.kept, "");
}

TEST(Tokenizer, CutsAtTheLimitAndShowsWhatIsKept) {
  const Tokenizer tokenizer(kTokenizer, 1, kVocab);
  const std::string text = "A red circle moves 你好 to the left.";
  const std::vector<std::int32_t> whole = tokenizer.encode(text, 512).ids;
  std::string last;
  for (std::size_t limit = 1; limit <= whole.size(); ++limit) {
    const TokenizedPrompt prompt = tokenizer.encode(text, static_cast<std::int64_t>(limit));
    ASSERT_EQ(prompt.ids.size(), limit);
    EXPECT_TRUE(std::equal(prompt.ids.begin(), prompt.ids.end() - 1, whole.begin()));
    EXPECT_EQ(prompt.ids.back(), 1);
    EXPECT_EQ(prompt.truncated, limit < whole.size());
    if (!prompt.truncated) continue;
    EXPECT_EQ(text.rfind(prompt.kept, 0), 0u) << prompt.kept;
    EXPECT_GE(prompt.kept.size(), last.size());
    EXPECT_NO_THROW(tokenizer.encode(prompt.kept, 512)) << "cut inside a character";
    last = prompt.kept;
  }
  EXPECT_EQ(last, text.substr(0, text.size() - 1));
}

TEST(Tokenizer, RefusesWhatIsNoText) {
  const Tokenizer tokenizer(kTokenizer, 1, kVocab);
  expect_error(ErrorCode::kInvalidArgument, {"not valid UTF-8", "0xff", "offset 4"},
               [&] { tokenizer.encode("red \xff", 512); });
  expect_error(ErrorCode::kInvalidArgument, {"max_tokens is 0"},
               [&] { tokenizer.encode("red", 0); });
}

TEST(Tokenizer, NamesAFileItCannotUse) {
  const TemporaryFolder folder;
  const auto open = [&] { Tokenizer(folder.path(), 1, kVocab); };
  expect_error(ErrorCode::kNotFound, {"spiece.model", "no such file"}, open);
  const std::string model = read_text(kTokenizer / "spiece.model");
  for (const std::string& damaged : {std::string(), model.substr(0, 3000), "x" + model}) {
    write_text(folder / "spiece.model", damaged);
    expect_error(ErrorCode::kInvalidArgument, {"spiece.model", "not a sentencepiece model"}, open);
  }
  std::filesystem::remove(folder / "spiece.model");
  std::filesystem::create_directory(folder / "spiece.model");
  expect_error(ErrorCode::kIo, {"spiece.model", "not a regular file"}, open);
}

TEST(Tokenizer, BoundsEveryIdByTheEmbedding) {
  EXPECT_NO_THROW(Tokenizer(kTokenizer, 1, kVocab + 100));
  expect_error(ErrorCode::kInvalidArgument, {"spiece.model", "has 384 pieces", "at most 383"},
               [] { Tokenizer(kTokenizer, 1, kVocab - 1); });
  expect_error(ErrorCode::kInvalidArgument, {"end-of-text token is 384", "0 to 383"},
               [] { Tokenizer(kTokenizer, 384, kVocab); });
  expect_error(ErrorCode::kInvalidArgument, {"end-of-text token is -1"},
               [] { Tokenizer(kTokenizer, -1, kVocab); });
}

}  // namespace
}  // namespace psagen::engine
