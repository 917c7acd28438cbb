// Where the time goes: one counter per zone, filled by scoped timers.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <utility>

namespace psagen {

// Sorted by name. A zone is an op family, so that a report adds up to the time spent in ops.
enum class Zone {
  kAttention,
  kBlockImportance,
  kConv3d,
  kElementwise,
  kLevelAllocation,
  kLinear,
  kNorm,
  kPyramidPool,
  kSparseAttention,
  kCount,
};

const char* zone_name(Zone zone);

class Profiler {
 public:
  struct Entry {
    std::int64_t calls = 0;
    double seconds = 0.0;
  };

  class Scope {
   public:
    Scope(Profiler& profiler, Zone zone)
        : profiler_(profiler), entry_(profiler.entries_[static_cast<int>(zone)]) {
      if (profiler_.fence_) profiler_.fence_();
      start_ = Clock::now();
    }
    ~Scope() {
      if (profiler_.fence_) profiler_.fence_();
      ++entry_.calls;
      entry_.seconds += std::chrono::duration<double>(Clock::now() - start_).count();
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    using Clock = std::chrono::steady_clock;
    Profiler& profiler_;
    Entry& entry_;
    Clock::time_point start_;
  };

  const Entry& entry(Zone zone) const { return entries_[static_cast<int>(zone)]; }
  void reset() { entries_ = {}; }

  // On a GPU a zone sees only how long its work took to queue, unless this waits for the device
  // before and after each. For benchmarks: nothing overlaps while it is set. It must not throw.
  void set_fence(std::function<void()> fence) { fence_ = std::move(fence); }

 private:
  std::function<void()> fence_;
  std::array<Entry, static_cast<int>(Zone::kCount)> entries_{};
};

}  // namespace psagen
