// SHA-256 (FIPS 180-4), to name a model by its files. By hand: eighty lines spare the engine a
// cryptographic library.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace psagen::engine {

class Sha256 {
 public:
  Sha256();
  void update(std::span<const std::byte> bytes);
  void update(std::string_view text);
  // The digest as 64 hexadecimal digits; nothing may follow.
  std::string finish();

 private:
  void compress(const std::byte* block);

  std::array<std::uint32_t, 8> state_;
  std::array<std::byte, 64> block_;
  std::size_t filled_ = 0;
  std::uint64_t length_ = 0;  // in bytes
};

}  // namespace psagen::engine
