// Output that appears only when it is whole: written as `.NAME.partial-PID` beside its target, then
// renamed. Whatever goes wrong before commit() leaves nothing behind.
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

namespace psagen::engine {

// Where the unfinished file or folder of `target` lives in this process.
std::filesystem::path partial_path(const std::filesystem::path& target);

// Throws Error(kIo): "cannot write PATH: REASON", with errno's text for `error_number`.
[[noreturn]] void throw_write_error(const std::filesystem::path& target, int error_number);

// Fails early, before any work, and leaves nothing: Error(kInvalidArgument) where `target` exists
// (unless `overwrite`) or is a folder, Error(kIo) where its folder is missing or takes no files.
void check_new_file(const std::filesystem::path& target, bool overwrite);
// The second half alone.
void check_parent(const std::filesystem::path& target);

// Renames `from` to `target`; an existing target is Error(kInvalidArgument) unless `overwrite`.
// The folder's entry is on disk when this returns.
void rename_whole(const std::filesystem::path& from, const std::filesystem::path& target,
                  bool overwrite);

// Writes and closes a file in one go (no partial name: for files inside an unfinished folder).
// Errors name `target`, the thing the user asked for.
void write_bytes(const std::filesystem::path& path, std::span<const std::uint8_t> bytes,
                 const std::filesystem::path& target);

class PartialFile {
 public:
  explicit PartialFile(std::filesystem::path target);
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  const std::filesystem::path& target() const { return target_; }
  const std::filesystem::path& path() const { return path_; }

  // Appends through a stream that the first call opens. Throws Error(kIo) with the target's path.
  void append(std::string_view bytes);
  // Flushes and closes that stream; append() must not follow.
  void close();
  // Puts the bytes on disk and renames.
  void commit(bool overwrite);

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::filesystem::path target_;
  std::filesystem::path path_;
  std::unique_ptr<std::FILE, Close> stream_;
};

}  // namespace psagen::engine
