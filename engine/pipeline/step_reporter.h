// Steps as they are done. A GPU is behind the program: it must always have the next step queued, so
// a step is waited for only when the one after it has been queued. How long it took only the GPU's
// clock can say; its times are in the report once all steps are done.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "engine/pipeline/density_report.h"
#include "engine/pipeline/health.h"
#include "engine/pipeline/stage_tracker.h"
#include "engine/pipeline/text_to_video.h"
#include "kernels/core/profile.h"
#include "scheduler/step_plan.h"

namespace psagen::engine {

class StepReporter {
 public:
  StepReporter(Context& context, const std::vector<scheduler::StepPlan>& plans,
               ConstTensorView nonfinite, DensityReport density, RunReport& report,
               StageTracker& stages)
      : runtime_(context.runtime()),
        plans_(plans),
        health_(context, nonfinite),
        density_(std::move(density)),
        report_(report),
        stages_(stages),
        seconds_(plans.size()) {
    if (runtime_ != nullptr) clock_ = runtime_->make_zone_clock(plans.size() + 1);
    if (clock_) clock_->begin();
  }

  // The next step has been queued, on a CPU done.
  void queued() {
    StepReport step;
    step.sigma = plans_[next_].sigma;
    const std::int64_t index = static_cast<std::int64_t>(next_);
    if (clock_) {
      clock_->end(seconds_[next_]);
      clock_->begin();
    }
    density_.fetch(index);  // before the ticket, which then covers it
    waiting_.push_back({std::move(step), health_.fetch(index)});
    ++next_;
    if (runtime_ == nullptr || waiting_.size() > 1) finish_first();
  }

  void finish() {
    while (!waiting_.empty()) finish_first();
    if (!clock_) return;
    clock_->settle();
    for (std::size_t i = 0; i < report_.steps.size(); ++i) report_.steps[i].seconds = seconds_[i];
  }

 private:
  using Clock = std::chrono::steady_clock;
  struct Waiting {
    StepReport report;
    std::uint64_t ticket;
  };

  void finish_first() {
    if (runtime_ != nullptr) runtime_->wait(waiting_.front().ticket);
    const std::int64_t index = static_cast<std::int64_t>(report_.steps.size());
    health_.check(index, static_cast<std::int64_t>(plans_.size()));
    density_.write(index, waiting_.front().report);
    const Clock::time_point now = Clock::now();
    waiting_.front().report.seconds = std::chrono::duration<double>(now - last_).count();
    last_ = now;
    report_.steps.push_back(std::move(waiting_.front().report));
    waiting_.pop_front();
    stages_.advance(static_cast<std::int64_t>(report_.steps.size()));
  }

  DeviceRuntime* runtime_;
  const std::vector<scheduler::StepPlan>& plans_;
  LayerHealth health_;
  DensityReport density_;
  RunReport& report_;
  StageTracker& stages_;
  std::size_t next_ = 0;
  std::deque<Waiting> waiting_;
  Clock::time_point last_ = Clock::now();
  std::vector<double> seconds_;  // by the device's clock
  std::unique_ptr<ZoneClock> clock_;
};

}  // namespace psagen::engine
