// Where the time of a stretch of work goes, op family by op family.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/core/context.h"
#include "kernels/core/profile.h"

namespace psagen::engine {

struct ZoneTime {
  std::string zone;
  std::int64_t calls = 0;
  double seconds = 0.0;
};

// While it lives, zones are counted from nothing, and timed by the device's clock where it has one:
// from its time stamp before an op's first kernel to the one behind its last, some microseconds of
// gaps and of the stamps themselves among them.
class ZoneTimes {
 public:
  explicit ZoneTimes(Context& context);
  ~ZoneTimes();
  ZoneTimes(const ZoneTimes&) = delete;
  ZoneTimes& operator=(const ZoneTimes&) = delete;

  // Waits for the work that was queued.
  std::vector<ZoneTime> read();

 private:
  Profiler& profiler_;
  std::unique_ptr<ZoneClock> clock_;
};

}  // namespace psagen::engine
