#include "engine/pipeline/prompt_cache.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "tests/support/temporary_folder.h"

namespace psagen::engine {
namespace {

namespace fs = std::filesystem;
using testing::TemporaryFolder;
using testing::write_text;

using Prompts = std::vector<std::vector<std::int32_t>>;

std::vector<std::byte> some_bytes(std::size_t count) {
  std::vector<std::byte> bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i * 7);
  return bytes;
}

fs::path only_file(const fs::path& folder) {
  fs::path found;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    EXPECT_TRUE(found.empty()) << "more than one file";
    found = entry.path();
  }
  return found;
}

TEST(PromptCache, GivesBackWhatItKept) {
  const TemporaryFolder folder;
  const PromptCache cache(folder / "made/here", "encoder");
  const Prompts prompts = {{5, 6, 1}, {7, 1}};
  EXPECT_FALSE(cache.find(prompts, 100));
  ASSERT_TRUE(cache.keep(prompts, some_bytes(100)));
  EXPECT_EQ(cache.find(prompts, 100), some_bytes(100));
  EXPECT_FALSE(cache.find(prompts, 99)) << "of another size";
}

TEST(PromptCache, TellsPromptsAndEncodersApart) {
  const TemporaryFolder folder;
  const PromptCache cache(folder.path(), "encoder");
  ASSERT_TRUE(cache.keep(Prompts{{5, 6, 1}, {7, 1}}, some_bytes(8)));
  EXPECT_FALSE(cache.find(Prompts{{5, 6, 1}}, 8));
  EXPECT_FALSE(cache.find(Prompts{{5, 6, 1, 7, 1}}, 8));
  EXPECT_FALSE(cache.find(Prompts{{5, 6}, {1, 7, 1}}, 8));
  EXPECT_FALSE(cache.find(Prompts{{7, 1}, {5, 6, 1}}, 8));
  EXPECT_FALSE(PromptCache(folder.path(), "another").find(Prompts{{5, 6, 1}, {7, 1}}, 8));
}

TEST(PromptCache, ADamagedFileIsNotThere) {
  const TemporaryFolder folder;
  const PromptCache cache(folder.path(), "encoder");
  const Prompts prompts = {{5, 1}};
  ASSERT_TRUE(cache.keep(prompts, some_bytes(64)));
  const fs::path file = only_file(folder.path());
  const std::string whole = testing::read_text(file);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 4);
    write_text(file, damaged);
    // The line end behind the digest is the one byte that says nothing.
    EXPECT_EQ(cache.find(prompts, 64).has_value(), i == whole.find('\n') + 65) << "byte " << i;
  }
  write_text(file, whole.substr(0, whole.size() - 1));
  EXPECT_FALSE(cache.find(prompts, 64));
  write_text(file, "");
  EXPECT_FALSE(cache.find(prompts, 64));
  ASSERT_TRUE(cache.keep(prompts, some_bytes(64)));
  EXPECT_TRUE(cache.find(prompts, 64)) << "kept again";
}

TEST(PromptCache, WhatCannotBeKeptFailsNothing) {
  const TemporaryFolder folder;
  write_text(folder / "file", "");
  EXPECT_FALSE(PromptCache(folder / "file/below", "encoder").keep(Prompts{{1}}, some_bytes(4)));
}

TEST(TextEncoderKey, SeesEveryByteOfASmallModel) {
  const TemporaryFolder folder;
  for (const char* part : {"text_encoder", "tokenizer"}) fs::create_directories(folder / part);
  write_text(folder / "text_encoder/model.safetensors", std::string(200000, 'a'));
  write_text(folder / "text_encoder/config.json", "{}");
  write_text(folder / "tokenizer/spiece.model", "pieces");
  const std::string key = text_encoder_key(folder.path());
  EXPECT_EQ(text_encoder_key(folder.path()), key);
  std::string weights(200000, 'a');
  weights[123456] = 'b';
  write_text(folder / "text_encoder/model.safetensors", weights);
  EXPECT_NE(text_encoder_key(folder.path()), key);
  write_text(folder / "text_encoder/model.safetensors", std::string(200000, 'a'));
  EXPECT_EQ(text_encoder_key(folder.path()), key);
  write_text(folder / "tokenizer/spiece.model", "pieceS");
  EXPECT_NE(text_encoder_key(folder.path()), key);
}

TEST(TextEncoderKey, SamplesTheBeginningAndTheEndOfALargeFile) {
  const TemporaryFolder folder;
  for (const char* part : {"text_encoder", "tokenizer"}) fs::create_directories(folder / part);
  const fs::path file = folder / "text_encoder/model.safetensors";
  std::string weights(std::size_t{9} << 20, 'a');
  write_text(file, weights);
  const std::string key = text_encoder_key(folder.path());
  for (const std::size_t place : {std::size_t{0}, weights.size() / 63 * 30, weights.size() - 1}) {
    std::string changed = weights;
    changed[place] = 'b';
    write_text(file, changed);
    EXPECT_NE(text_encoder_key(folder.path()), key) << place;
  }
}

}  // namespace
}  // namespace psagen::engine
