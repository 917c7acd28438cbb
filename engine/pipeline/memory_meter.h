// How much memory the process holds at its peak within a stretch of time.
#pragma once

#include <cstddef>

namespace psagen::engine {

// Linux keeps a high-water mark of resident memory, which a process may set back for itself. Where
// that is not permitted (some containers), the peak is that of the samples taken.
class MemoryMeter {
 public:
  void start();
  void sample();
  std::size_t peak_bytes();  // since start()

 private:
  bool has_high_water_mark_ = false;
  std::size_t sampled_peak_ = 0;
};

}  // namespace psagen::engine
