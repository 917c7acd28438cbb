#include "engine/pipeline/stage_tracker.h"

#include <algorithm>
#include <utility>

#include "kernels/core/error.h"

namespace psagen::engine {

void StageTracker::begin(Stage stage, std::int64_t total) {
  if (profiler_ != nullptr) range_.emplace(*profiler_, stage_name(stage));
  memory_.start();
  start_ = Clock::now();
  progress_ = {.stage = stage, .done = 0, .total = total, .seconds = 0.0};
  tell(0);
}

void StageTracker::advance(std::int64_t done) {
  memory_.sample();
  if (done != progress_.done) tell(done);
}

void StageTracker::end() {
  range_.reset();
  if (progress_.done != progress_.total) tell(progress_.total);
  const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  const std::size_t loaded = std::exchange(loaded_, 0);
  for (StageReport& report : reports_) {  // a stage may come in parts
    if (report.stage != progress_.stage) continue;
    report.seconds += seconds;
    report.peak_bytes = std::max(report.peak_bytes, memory_.peak_bytes());
    report.loaded_bytes += loaded;
    return;
  }
  reports_.push_back({.stage = progress_.stage,
                      .seconds = seconds,
                      .peak_bytes = memory_.peak_bytes(),
                      .loaded_bytes = loaded});
}

void StageTracker::tell(std::int64_t done) {
  progress_.done = done;
  progress_.seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  const bool keep_going = !callback_ || callback_(progress_);
  PSAGEN_CHECK(keep_going, ErrorCode::kCancelled, "cancelled during stage '",
               stage_name(progress_.stage), "' at ", done, " of ", progress_.total);
}

}  // namespace psagen::engine
