#include "engine/weights/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "kernels/core/error.h"

namespace psagen::engine {
namespace {

struct Descriptor {
  int number;
  ~Descriptor() {
    if (number >= 0) close(number);
  }
};

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path.string()) {
  // O_NONBLOCK: opening a pipe by mistake must fail the check below, not wait for a writer.
  const Descriptor file{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  PSAGEN_CHECK(file.number >= 0, errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo, path_,
               ": cannot be opened: ", std::strerror(errno));
  struct stat status {};
  PSAGEN_CHECK(fstat(file.number, &status) == 0, ErrorCode::kIo, path_,
               ": cannot be examined: ", std::strerror(errno));
  PSAGEN_CHECK(S_ISREG(status.st_mode), ErrorCode::kIo, path_, ": is not a regular file");
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size == 0) return;
  void* const address = mmap(nullptr, size, PROT_READ, MAP_SHARED, file.number, 0);
  PSAGEN_CHECK(address != MAP_FAILED, ErrorCode::kIo, path_,
               ": cannot be mapped: ", std::strerror(errno));
  bytes_ = {static_cast<const std::byte*>(address), size};
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), bytes_(std::exchange(other.bytes_, {})) {}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

void MappedFile::drop_from_memory() const {
  // Only advice: the kernel may refuse it, which changes no result.
  if (!bytes_.empty()) madvise(const_cast<std::byte*>(bytes_.data()), bytes_.size(), MADV_DONTNEED);
}

}  // namespace psagen::engine
