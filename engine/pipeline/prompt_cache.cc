#include "engine/pipeline/prompt_cache.h"

#include <algorithm>
#include <fstream>
#include <string_view>
#include <utility>

#include "engine/media/partial_file.h"
#include "engine/pipeline/cache_folder.h"
#include "engine/pipeline/sha256.h"
#include "kernels/core/error.h"

namespace psagen::engine {
namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t kSampleBytes = std::uintmax_t{64} << 10;
constexpr std::uintmax_t kSamples = 64;
// First line of a file; the second is the SHA-256 of the values, which follow.
constexpr std::string_view kFirstLine = "psa-gen prompt 1\n";

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string digest(std::span<const std::byte> bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.finish();
}

void add_sample(Sha256& hash, std::ifstream& in, std::uintmax_t begin, std::uintmax_t size) {
  std::string sample(static_cast<std::size_t>(size), '\0');
  in.seekg(static_cast<std::streamoff>(begin));
  in.read(sample.data(), static_cast<std::streamsize>(size));
  PSAGEN_CHECK(in.good(), ErrorCode::kIo, "cannot read the text encoder's files");
  hash.update(sample);
}

void add_file(Sha256& hash, const fs::path& file) {
  const std::uintmax_t size = fs::file_size(file);
  hash.update(concat(file.filename().string(), '\n', size, '\n'));
  std::ifstream in(file, std::ios::binary);
  if (size <= kSamples * kSampleBytes) return add_sample(hash, in, 0, size);
  // The first sample holds the header, as far as it goes; the last ends with the file.
  for (std::uintmax_t i = 0; i < kSamples; ++i)
    add_sample(hash, in, (size - kSampleBytes) * i / (kSamples - 1), kSampleBytes);
}

std::string read_whole(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

}  // namespace

fs::path default_prompt_cache() {
  const fs::path folder = default_cache_folder();
  return folder.empty() ? folder : folder / "prompts";
}

std::string text_encoder_key(const fs::path& model_directory) {
  std::vector<fs::path> files;
  for (const char* folder : {"text_encoder", "tokenizer"})
    for (const fs::directory_entry& entry : fs::directory_iterator(model_directory / folder))
      if (entry.is_regular_file()) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  Sha256 hash;
  for (const fs::path& file : files) add_file(hash, file);
  return hash.finish();
}

PromptCache::PromptCache(fs::path directory, std::string encoder)
    : directory_(std::move(directory)), encoder_(std::move(encoder)) {}

fs::path PromptCache::path_of(std::span<const std::vector<std::int32_t>> prompts) const {
  Sha256 hash;
  hash.update(encoder_);
  for (const std::vector<std::int32_t>& prompt : prompts) {
    hash.update(concat('\n', prompt.size(), '\n'));
    hash.update(std::as_bytes(std::span(prompt)));
  }
  return directory_ / hash.finish();
}

std::optional<std::vector<std::byte>> PromptCache::find(
    std::span<const std::vector<std::int32_t>> prompts, std::size_t num_bytes) const {
  constexpr std::size_t kDigestLine = 65;
  const std::string content = read_whole(path_of(prompts));
  const std::size_t header = kFirstLine.size() + kDigestLine;
  if (content.size() != header + num_bytes || !content.starts_with(kFirstLine)) return {};
  const auto bytes = std::as_bytes(std::span(content)).subspan(header);
  if (content.compare(kFirstLine.size(), kDigestLine - 1, digest(bytes)) != 0) return {};
  return std::vector<std::byte>(bytes.begin(), bytes.end());
}

bool PromptCache::keep(std::span<const std::vector<std::int32_t>> prompts,
                       std::span<const std::byte> values) const {
  try {
    fs::create_directories(directory_);
    PartialFile file(path_of(prompts));
    file.append(kFirstLine);
    file.append(digest(values) + "\n");
    file.append(as_text(values));
    file.commit(true);
    return true;
  } catch (const Error&) {
    return false;
  } catch (const fs::filesystem_error&) {
    return false;
  }
}

}  // namespace psagen::engine
