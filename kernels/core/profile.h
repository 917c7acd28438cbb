// Where the time goes: one counter per zone, filled by scoped timers; and named ranges for a
// profiler outside of the program, where one is attached.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
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

// Draws ranges on the time line of a profiler. They nest: end() ends the last one begun.
class RangeMarker {
 public:
  virtual ~RangeMarker() = default;
  virtual void begin(const char* name) = 0;
  virtual void end() = 0;
};

// Times zones where their work is done: a host's clock sees of a GPU's work only how long it took
// to queue.
class ZoneClock {
 public:
  virtual ~ZoneClock() = default;
  virtual void begin() = 0;
  // Adds the time since begin() to `seconds`, at the latest in settle(); zones do not nest.
  virtual void end(double& seconds) = 0;
  virtual void settle() = 0;
};

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
      if (profiler_.marker_ != nullptr) profiler_.marker_->begin(zone_name(zone));
      if (profiler_.clock_ != nullptr) profiler_.clock_->begin();
      start_ = Clock::now();
    }
    ~Scope() {
      ++entry_.calls;
      if (profiler_.clock_ != nullptr)
        profiler_.clock_->end(entry_.seconds);
      else
        entry_.seconds += std::chrono::duration<double>(Clock::now() - start_).count();
      if (profiler_.marker_ != nullptr) profiler_.marker_->end();
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    using Clock = std::chrono::steady_clock;
    Profiler& profiler_;
    Entry& entry_;
    Clock::time_point start_;
  };

  // A part of the program that is no zone: "denoise", "step 7", "block 12". Not timed; costs one
  // comparison where nobody draws it.
  class Range {
   public:
    Range(const Profiler& profiler, const char* name);
    Range(const Profiler& profiler, const char* name, std::int64_t index);
    ~Range() {
      if (marker_ != nullptr) marker_->end();
    }
    Range(const Range&) = delete;
    Range& operator=(const Range&) = delete;

   private:
    RangeMarker* marker_;
  };

  const Entry& entry(Zone zone) const { return entries_[static_cast<int>(zone)]; }
  void reset() { entries_ = {}; }

  // Null: the host's clock, which of a GPU sees only how long its work took to queue. `clock` must
  // outlive every zone.
  void set_clock(ZoneClock* clock) { clock_ = clock; }

  // Null: zones and ranges are not drawn. `marker` must outlive every range.
  void set_marker(RangeMarker* marker) { marker_ = marker; }

 private:
  RangeMarker* marker_ = nullptr;
  ZoneClock* clock_ = nullptr;
  std::array<Entry, static_cast<int>(Zone::kCount)> entries_{};
};

}  // namespace psagen
