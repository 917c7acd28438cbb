#include "tests/e2e/program/damaged_model.h"

#include <cstring>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "tests/e2e/program/program.h"

namespace psagen::testing {

namespace {

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t place = text.find(from);
  if (place == std::string::npos) throw std::runtime_error("there is no " + from);
  return text.replace(place, from.size(), to);
}

std::string length_bytes(std::uint64_t length) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);  // little-endian, as every machine this runs on
  return bytes;
}

}  // namespace

DamagedModel::DamagedModel() {
  std::filesystem::copy(tiny_model(), path(), std::filesystem::copy_options::recursive);
}

void DamagedModel::remove(const std::string& name) const {
  if (std::filesystem::remove_all(file(name)) == 0) throw std::runtime_error("there is no " + name);
}

void DamagedModel::shorten(const std::string& name, std::size_t bytes) const {
  std::filesystem::resize_file(file(name), std::filesystem::file_size(file(name)) - bytes);
}

void DamagedModel::replace(const std::string& name, const std::string& from,
                           const std::string& to) const {
  write_text(file(name), replaced(read_text(file(name)), from, to));
}

void DamagedModel::replace_in_header(const std::string& name, const std::string& from,
                                     const std::string& to) const {
  const std::string bytes = read_text(file(name));
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  const std::string header = replaced(bytes.substr(8, length), from, to);
  write_text(file(name), length_bytes(header.size()) + header + bytes.substr(8 + length));
}

void DamagedModel::spoil(const std::string& name, const std::string& tensor) const {
  std::string bytes = read_text(file(name));
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  const nlohmann::json header = nlohmann::json::parse(bytes.substr(8, length));
  const std::uint64_t begin = header.at(tensor).at("data_offsets").at(0);
  bytes.replace(8 + length + begin, 4, 4, '\xff');  // in every type a value of ones is NaN
  write_text(file(name), bytes);
}

void DamagedModel::set_header_length(const std::string& name, std::uint64_t length) const {
  write_text(file(name), length_bytes(length) + read_text(file(name)).substr(8));
}

}  // namespace psagen::testing
