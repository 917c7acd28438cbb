// Sentencepiece behind the tokenizer of the Wan pipelines. Special tokens spelt out in a prompt
// ("</s>") are ordinary text here; Hugging Face's tokenizer would take them for the token.
#include "engine/text/tokenizer.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "engine/text/prompt_cleaning.h"
#include "kernels/core/error.h"

namespace psagen::engine {
namespace {

std::string read_model(const std::filesystem::path& path) {
  std::error_code ignored;
  PSAGEN_CHECK(std::filesystem::exists(path, ignored), ErrorCode::kNotFound, path.string(),
               ": no such file");
  PSAGEN_CHECK(std::filesystem::is_regular_file(path, ignored), ErrorCode::kIo, path.string(),
               ": is not a regular file");
  std::ifstream in(path, std::ios::binary);
  std::ostringstream bytes;
  if (in && in.peek() != std::ifstream::traits_type::eof()) bytes << in.rdbuf();
  PSAGEN_CHECK(in.is_open() && !in.bad(), ErrorCode::kIo, path.string(), ": cannot be read");
  return bytes.str();
}

}  // namespace

struct Tokenizer::Impl {
  sentencepiece::SentencePieceProcessor processor;
  std::string file;
  std::int32_t eos_id = 0;
};

Tokenizer::Tokenizer(const std::filesystem::path& directory, std::int32_t eos_id,
                     std::int64_t vocab_size)
    : impl_(std::make_unique<Impl>()) {
  const std::filesystem::path path = directory / "spiece.model";
  impl_->file = path.string();
  impl_->eos_id = eos_id;
  const auto status = impl_->processor.LoadFromSerializedProto(read_model(path));
  PSAGEN_CHECK(status.ok() && impl_->processor.GetPieceSize() > 0, ErrorCode::kInvalidArgument,
               impl_->file, ": is not a sentencepiece model");
  PSAGEN_CHECK(impl_->processor.GetPieceSize() <= vocab_size, ErrorCode::kInvalidArgument,
               impl_->file, ": has ", impl_->processor.GetPieceSize(), " pieces, wanted at most ",
               vocab_size, " (vocab_size of the text encoder)");
  PSAGEN_CHECK(eos_id >= 0 && eos_id < vocab_size, ErrorCode::kInvalidArgument, impl_->file,
               ": the end-of-text token is ", eos_id, ", wanted 0 to ", vocab_size - 1);
}

Tokenizer::~Tokenizer() = default;

TokenizedPrompt Tokenizer::encode(const std::string& text, std::int64_t max_tokens) const {
  PSAGEN_CHECK(max_tokens >= 1, ErrorCode::kInvalidArgument, "max_tokens is ", max_tokens,
               ", wanted at least 1");
  TokenizedPrompt prompt;
  prompt.cleaned = clean_prompt(text);
  const auto spelt = impl_->processor.EncodeAsImmutableProto(prompt.cleaned);
  const auto kept =
      std::min<std::size_t>(spelt.pieces_size(), static_cast<std::size_t>(max_tokens) - 1);
  for (std::size_t i = 0; i < kept; ++i)
    prompt.ids.push_back(static_cast<std::int32_t>(spelt.pieces(static_cast<int>(i)).id()));
  prompt.ids.push_back(impl_->eos_id);
  prompt.truncated = kept < spelt.pieces_size();
  if (prompt.truncated && kept > 0)
    prompt.kept = prompt.cleaned.substr(0, spelt.pieces(static_cast<int>(kept) - 1).end());
  return prompt;
}

std::int64_t Tokenizer::vocab_size() const { return impl_->processor.GetPieceSize(); }

}  // namespace psagen::engine
