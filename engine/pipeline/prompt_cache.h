// Encoded prompts kept on disk: the text encoder of a published model is four times the size of its
// 1.3B denoiser, and a prompt that was encoded before needs none of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace psagen::engine {

// The folder `prompts` of default_cache_folder(); empty where that is not known.
std::filesystem::path default_prompt_cache();

// What tells one text encoder from another: its configuration and tokenizer, and the headers and
// samples of its weight files (64 KiB at 64 places of each: all of a small file), as SHA-256. Two
// files that differ in none of it are taken for equal.
std::string text_encoder_key(const std::filesystem::path& model_directory);

class PromptCache {
 public:
  // `encoder`: of text_encoder_key(), and whatever else the values depend on (device, type).
  PromptCache(std::filesystem::path directory, std::string encoder);

  // The values of these prompts, encoded together: they may differ in the last bit from those of
  // the same prompts in other company. Nothing where they are not there, or damaged.
  std::optional<std::vector<std::byte>> find(std::span<const std::vector<std::int32_t>> prompts,
                                             std::size_t num_bytes) const;

  // False where they cannot be kept (no permission, disk full): that fails no run.
  bool keep(std::span<const std::vector<std::int32_t>> prompts,
            std::span<const std::byte> values) const;

 private:
  std::filesystem::path path_of(std::span<const std::vector<std::int32_t>> prompts) const;

  std::filesystem::path directory_;
  std::string encoder_;
};

}  // namespace psagen::engine
