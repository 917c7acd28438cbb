#include "engine/media/partial_file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "kernels/core/error.h"

namespace psagen::engine {

namespace fs = std::filesystem;

namespace {

fs::path folder_of(const fs::path& path) {
  const fs::path parent = path.parent_path();
  return parent.empty() ? fs::path(".") : parent;
}

class Descriptor {
 public:
  Descriptor(const fs::path& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC)) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

void sync_file(const fs::path& path, const fs::path& target) {
  const Descriptor file(path, O_RDONLY);
  if (file.get() < 0 || ::fsync(file.get()) != 0) throw_write_error(target, errno);
}

// Not every file system can sync a folder; the rename itself has then still happened.
void sync_folder(const fs::path& folder) {
  const Descriptor directory(folder, O_RDONLY | O_DIRECTORY);
  if (directory.get() >= 0) ::fsync(directory.get());
}

void throw_exists(const fs::path& target) {
  throw Error(
      ErrorCode::kInvalidArgument,
      concat("output ", target.string(), " exists already; give --overwrite to replace it"));
}

}  // namespace

fs::path partial_path(const fs::path& target) {
  // A name may have 255 bytes; the decoration takes at most 40 of them.
  const std::string name = target.filename().string().substr(0, 200);
  return folder_of(target) / concat(".", name, ".partial-", ::getpid());
}

void throw_write_error(const fs::path& target, int error_number) {
  throw Error(ErrorCode::kIo,
              concat("cannot write ", target.string(), ": ", std::strerror(error_number)));
}

// Only creating a file tells whether one can be created: access() knows neither quotas nor what
// root may do on a read-only mount.
void check_parent(const fs::path& target) {
  const fs::path probe = partial_path(target);
  std::error_code error;
  PSAGEN_CHECK(fs::is_directory(probe.parent_path(), error), ErrorCode::kIo, "cannot write ",
               target.string(), ": there is no folder ", probe.parent_path().string());
  const int fd = ::open(probe.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) throw_write_error(target, errno);
  ::close(fd);
  ::unlink(probe.c_str());
}

void check_new_file(const fs::path& target, bool overwrite) {
  std::error_code error;
  const fs::file_status status = fs::status(target, error);
  PSAGEN_CHECK(!fs::is_directory(status), ErrorCode::kInvalidArgument, "output ", target.string(),
               " is a folder; wanted a file name");
  if (fs::exists(status) && !overwrite) throw_exists(target);
  check_parent(target);
}

void rename_whole(const fs::path& from, const fs::path& target, bool overwrite) {
  int failed = ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, target.c_str(),
                           overwrite ? 0U : unsigned{RENAME_NOREPLACE});
  if (failed != 0 && !overwrite && (errno == EINVAL || errno == ENOSYS)) {
    // This file system cannot rename without replacing, so look first.
    struct stat found {};
    if (::lstat(target.c_str(), &found) == 0) throw_exists(target);
    failed = ::rename(from.c_str(), target.c_str());
  }
  if (failed != 0 && errno == EEXIST && !overwrite) throw_exists(target);
  if (failed != 0) throw_write_error(target, errno);
  sync_folder(folder_of(target));
}

void write_bytes(const fs::path& path, std::span<const std::uint8_t> bytes,
                 const fs::path& target) {
  std::FILE* file = std::fopen(path.c_str(), "wbe");
  if (file == nullptr) throw_write_error(target, errno);
  const bool wrote = std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  const int write_errno = errno;
  const bool closed = std::fclose(file) == 0;
  if (!wrote) throw_write_error(target, write_errno);
  if (!closed) throw_write_error(target, errno);
}

PartialFile::PartialFile(fs::path target)
    : target_(std::move(target)), path_(partial_path(target_)) {}

PartialFile::~PartialFile() {
  stream_.reset();
  ::unlink(path_.c_str());
}

void PartialFile::append(std::string_view bytes) {
  if (stream_ == nullptr) {
    stream_.reset(std::fopen(path_.c_str(), "wbe"));
    if (stream_ == nullptr) throw_write_error(target_, errno);
  }
  if (std::fwrite(bytes.data(), 1, bytes.size(), stream_.get()) != bytes.size()) {
    throw_write_error(target_, errno);
  }
}

void PartialFile::close() {
  if (stream_ != nullptr && std::fclose(stream_.release()) != 0) throw_write_error(target_, errno);
}

void PartialFile::commit(bool overwrite) {
  close();
  sync_file(path_, target_);
  rename_whole(path_, target_, overwrite);
}

}  // namespace psagen::engine
