// A file mapped read-only into memory. Pages come in when they are touched, so opening costs
// nothing and a checkpoint larger than memory can be used part by part.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

namespace psagen::engine {

class MappedFile {
 public:
  // Throws Error(kNotFound) where there is no such file, Error(kIo) where it is no regular file or
  // cannot be mapped.
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return bytes_; }
  const std::string& path() const { return path_; }

  // Takes the pages out of the process; they stay readable and come back when touched.
  void drop_from_memory() const;

 private:
  std::string path_;
  std::span<const std::byte> bytes_;  // empty for an empty file
};

}  // namespace psagen::engine
