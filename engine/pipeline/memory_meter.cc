#include "engine/pipeline/memory_meter.h"

#include <algorithm>
#include <fstream>
#include <string>

namespace psagen::engine {
namespace {

// A field of /proc/self/status in bytes, 0 where there is none.
std::size_t status_bytes(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with(field + ":")) continue;
    return std::stoull(line.substr(field.size() + 1)) * 1024;  // "VmRSS:     1234 kB"
  }
  return 0;
}

bool reset_high_water_mark() {
  std::ofstream clear_refs("/proc/self/clear_refs");
  clear_refs << "5" << std::flush;
  return clear_refs.good();
}

}  // namespace

void MemoryMeter::start() {
  has_high_water_mark_ = reset_high_water_mark();
  sampled_peak_ = 0;
  sample();
}

void MemoryMeter::sample() { sampled_peak_ = std::max(sampled_peak_, status_bytes("VmRSS")); }

std::size_t MemoryMeter::peak_bytes() {
  sample();
  return has_high_water_mark_ ? std::max(sampled_peak_, status_bytes("VmHWM")) : sampled_peak_;
}

}  // namespace psagen::engine
