// Prompt text -> token ids as the Wan pipelines produce them (spec/wan 2.1, 2.2).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace psagen::engine {

struct TokenizedPrompt {
  std::vector<std::int32_t> ids;  // pieces, then one </s>; at most max_tokens
  std::string cleaned;            // the text that was tokenised
  bool truncated = false;
  std::string kept;  // where truncated: the part of `cleaned` that the kept pieces spell
};

class Tokenizer {
 public:
  // Reads `<directory>/spiece.model`. Throws Error(kNotFound, kInvalidArgument) naming the file.
  // `eos_id` comes from text_encoder/config.json and `vocab_size` bounds every id.
  Tokenizer(const std::filesystem::path& directory, std::int32_t eos_id, std::int64_t vocab_size);
  ~Tokenizer();

  // Cleans (engine/text/prompt_cleaning.h), encodes, cuts at max_tokens. Throws
  // Error(kInvalidArgument) for text that is not UTF-8, with the byte's position.
  TokenizedPrompt encode(const std::string& text, std::int64_t max_tokens) const;

  std::int64_t vocab_size() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace psagen::engine
