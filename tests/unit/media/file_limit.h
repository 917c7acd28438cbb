// A file size limit for this process: the portable way to meet a disk that is full.
#pragma once

#include <cstdint>

namespace psagen::testing {

class FileLimit {
 public:
  explicit FileLimit(std::uint64_t bytes);
  ~FileLimit();
  FileLimit(const FileLimit&) = delete;
  FileLimit& operator=(const FileLimit&) = delete;

 private:
  std::uint64_t previous_;
};

}  // namespace psagen::testing
