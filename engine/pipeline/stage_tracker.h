// The stages of a run as they happen: tells the caller, notices a wish to stop, keeps the report.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "engine/pipeline/memory_meter.h"
#include "engine/pipeline/progress.h"
#include "engine/pipeline/text_to_video.h"
#include "kernels/core/profile.h"

namespace psagen::engine {

class StageTracker {
 public:
  // Stages are ranges of `profiler`, where one is given.
  explicit StageTracker(const ProgressCallback& callback, const Profiler* profiler = nullptr)
      : callback_(callback), profiler_(profiler) {}

  // Each of the three throws Error(kCancelled) where the callback asks to stop.
  void begin(Stage stage, std::int64_t total);
  void advance(std::int64_t done);
  void end();
  // Weights loaded in the stage that is running.
  void add_loaded(std::size_t bytes) { loaded_ += bytes; }

  std::vector<StageReport> take_reports() { return std::move(reports_); }

 private:
  using Clock = std::chrono::steady_clock;
  void tell(std::int64_t done);

  const ProgressCallback& callback_;
  const Profiler* profiler_;
  std::optional<Profiler::Range> range_;
  MemoryMeter memory_;
  Progress progress_;
  std::size_t loaded_ = 0;
  Clock::time_point start_;
  std::vector<StageReport> reports_;
};

}  // namespace psagen::engine
