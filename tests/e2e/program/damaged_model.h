// A copy of the tiny model in which one thing is wrong.
#pragma once

#include <filesystem>
#include <string>

#include "tests/support/temporary_folder.h"

namespace psagen::testing {

class DamagedModel {
 public:
  DamagedModel();  // whole so far

  std::filesystem::path path() const { return folder_ / "model"; }
  std::filesystem::path file(const std::string& name) const { return path() / name; }

  void remove(const std::string& name) const;
  void shorten(const std::string& name, std::size_t bytes) const;
  // Replaces the first occurrence; throws where there is none, so that a test damages something.
  void replace(const std::string& name, const std::string& from, const std::string& to) const;
  // The same inside the JSON header of a safetensors file, whose stated length follows.
  void replace_in_header(const std::string& name, const std::string& from,
                         const std::string& to) const;
  // Makes NaN of the first value or two of a tensor.
  void spoil(const std::string& name, const std::string& tensor) const;
  // The eight bytes in front of the header.
  void set_header_length(const std::string& name, std::uint64_t length) const;

 private:
  TemporaryFolder folder_;
};

}  // namespace psagen::testing
