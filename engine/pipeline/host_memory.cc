#include "engine/pipeline/host_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

namespace psagen::engine {

std::size_t available_host_bytes(const std::filesystem::path& meminfo,
                                 const std::filesystem::path& cgroup_limit) {
  std::size_t available = std::numeric_limits<std::size_t>::max();
  std::ifstream facts(meminfo);
  for (std::string line; std::getline(facts, line);) {
    constexpr std::string_view kName = "MemAvailable:";  // "MemAvailable:   12345 kB"
    if (line.starts_with(kName)) available = std::stoull(line.substr(kName.size())) * 1024;
  }
  std::size_t limit = 0;  // or the word "max", which is no number
  if (std::ifstream(cgroup_limit) >> limit) available = std::min(available, limit);
  return available;
}

}  // namespace psagen::engine
