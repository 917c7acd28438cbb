#include "engine/pipeline/zone_times.h"

namespace psagen::engine {
namespace {

constexpr std::size_t kZonesUnderWay = 4096;  // more than a host is ahead of its GPU by

}  // namespace

ZoneTimes::ZoneTimes(Context& context) : profiler_(context.profiler()) {
  profiler_.reset();
  if (context.runtime() != nullptr) clock_ = context.runtime()->make_zone_clock(kZonesUnderWay);
  profiler_.set_clock(clock_.get());
}

ZoneTimes::~ZoneTimes() { profiler_.set_clock(nullptr); }

std::vector<ZoneTime> ZoneTimes::read() {
  if (clock_) clock_->settle();
  std::vector<ZoneTime> zones;
  for (int i = 0; i < static_cast<int>(Zone::kCount); ++i) {
    const Profiler::Entry& entry = profiler_.entry(static_cast<Zone>(i));
    if (entry.calls > 0)
      zones.push_back({zone_name(static_cast<Zone>(i)), entry.calls, entry.seconds});
  }
  return zones;
}

}  // namespace psagen::engine
