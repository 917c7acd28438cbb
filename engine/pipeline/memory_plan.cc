#include "engine/pipeline/memory_plan.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/backend.h"

namespace psagen::engine {
namespace {

// "12.34 GB"; what is wanted is rounded up, what there is down.
std::string gigabytes(std::size_t bytes, bool up) {
  const double hundredths = static_cast<double>(bytes) / 1e7;
  return concat((up ? std::ceil(hundredths) : std::floor(hundredths)) / 100.0, " GB");
}

const StageMemory& largest(const MemoryPlan& plan) {
  return *std::max_element(
      plan.stages.begin(), plan.stages.end(),
      [](const StageMemory& a, const StageMemory& b) { return a.bytes < b.bytes; });
}

// Fewer would be held by the two slots they pass through.
constexpr std::int64_t kFewestStreamed = 3;

}  // namespace

std::size_t MemoryPlan::peak() const { return largest(*this).bytes + reserve; }

MemoryPlanner::MemoryPlanner(std::filesystem::path model_directory, VideoRequest request,
                             const ContextOptions& options)
    : model_(std::move(model_directory)),
      request_(std::move(request)),
      options_(options),
      num_blocks_(read_model_config(model_).transformer.num_layers) {}

MemoryPlan MemoryPlanner::plan(std::int64_t streamed_blocks) const {
  return plan_of(request_, streamed_blocks);
}

MemoryPlan MemoryPlanner::plan_of(const VideoRequest& request, std::int64_t streamed_blocks) const {
  const std::unique_ptr<Context> context = kernels::make_plan_context(options_);
  Allocator& memory = context->allocator();
  MemoryPlan plan;
  plan.reserve = kernels::ops_reserve_bytes();
  plan.streamed_blocks = streamed_blocks;
  for (const Stage stage : {Stage::kEncodeText, Stage::kDenoise, Stage::kDecode})
    plan.stages.push_back({stage, 0});
  // Loading counts for what it precedes: a stage holds what was loaded for it.
  std::size_t current = 0;
  bool has_encoded = false;
  const auto note = [&] {
    plan.stages[current].bytes = std::max(plan.stages[current].bytes, memory.peak_bytes());
  };
  VideoRequest one_step = request;
  one_step.num_steps = 1;
  const auto follow = [&](const Progress& progress) {
    note();
    memory.reset_peak();
    has_encoded = has_encoded || progress.stage == Stage::kEncodeText;
    if (progress.stage == Stage::kLoad) current = has_encoded ? 1 : 0;
    for (std::size_t i = 0; i < plan.stages.size(); ++i)
      if (plan.stages[i].stage == progress.stage) current = i;
    return true;
  };
  PipelineOptions options;
  options.streamed_blocks = streamed_blocks;
  TextToVideo(model_, *context, options)
      .generate(
          one_step, [](const Frame&) {}, follow);
  note();
  plan.host_bytes = context->runtime()->pinned_allocator().peak_bytes();
  return plan;
}

std::int64_t MemoryPlanner::most_streamed() const {
  return num_blocks_ >= kFewestStreamed ? num_blocks_ : 0;
}

std::int64_t MemoryPlanner::most_frames(std::size_t available) const {
  constexpr std::int64_t kStride = 4;
  VideoRequest request = request_;
  const auto fits = [&](std::int64_t steps) {
    request.num_frames = kStride * steps + 1;
    return plan_of(request, most_streamed()).peak() <= available;
  };
  std::int64_t low = -1, high = (request.num_frames - 1) / kStride;  // fits(low), not fits(high)
  while (high - low > 1) {
    const std::int64_t middle = (low + high) / 2;
    (fits(middle) ? low : high) = middle;
  }
  return low < 0 ? 0 : kStride * low + 1;
}

MemoryPlan MemoryPlanner::fit(std::size_t available) const {
  MemoryPlan best = plan(0);
  if (best.peak() <= available) return best;
  const MemoryPlan smallest = plan(most_streamed());
  if (smallest.peak() > available) {
    const std::int64_t frames = most_frames(available);
    throw Error(ErrorCode::kOutOfMemory,
                concat("this run takes at least ", gigabytes(smallest.peak(), true),
                       " of GPU memory (stage '", stage_name(largest(smallest).stage),
                       "'), and there are ", gigabytes(available, false),
                       frames > 0 ? concat("; --frames ", frames, " would fit")
                                  : std::string("; no number of frames of this size would fit, "
                                                "use --device cpu")));
  }
  std::int64_t low = kFewestStreamed - 1, high = most_streamed();  // not fit(low), fit(high)
  best = smallest;
  while (high - low > 1) {
    const std::int64_t middle = (low + high) / 2;
    const MemoryPlan tried = plan(middle);
    if (tried.peak() > available) {
      low = middle;
    } else {
      high = middle;
      best = tried;
    }
  }
  return best;
}

}  // namespace psagen::engine
