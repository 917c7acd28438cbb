#include "engine/pipeline/memory_plan.h"

#include <algorithm>
#include <cmath>

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

}  // namespace

std::size_t MemoryPlan::peak() const { return largest(*this).bytes + reserve; }

MemoryPlan plan_memory(const std::filesystem::path& model_directory, const VideoRequest& request,
                       const ContextOptions& options) {
  const std::unique_ptr<Context> context = kernels::make_plan_context(options);
  Allocator& memory = context->allocator();
  MemoryPlan plan;
  plan.reserve = kernels::ops_reserve_bytes();
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
  TextToVideo(model_directory, *context)
      .generate(
          one_step, [](const Frame&) {}, follow);
  note();
  return plan;
}

std::int64_t most_frames(const std::filesystem::path& model_directory, VideoRequest request,
                         const ContextOptions& options, std::size_t available) {
  constexpr std::int64_t kStride = 4;
  const auto fits = [&](std::int64_t steps) {
    request.num_frames = kStride * steps + 1;
    return plan_memory(model_directory, request, options).peak() <= available;
  };
  std::int64_t low = -1, high = (request.num_frames - 1) / kStride;  // fits(low), not fits(high)
  while (high - low > 1) {
    const std::int64_t middle = (low + high) / 2;
    (fits(middle) ? low : high) = middle;
  }
  return low < 0 ? 0 : kStride * low + 1;
}

void check_memory(const MemoryPlan& plan, const std::filesystem::path& model_directory,
                  const VideoRequest& request, const ContextOptions& options,
                  std::size_t available) {
  if (plan.peak() <= available) return;
  const std::int64_t frames = most_frames(model_directory, request, options, available);
  throw Error(
      ErrorCode::kOutOfMemory,
      concat("this run takes ", gigabytes(plan.peak(), true), " of GPU memory (stage '",
             stage_name(largest(plan).stage), "'), and there are ", gigabytes(available, false),
             frames > 0 ? concat("; --frames ", frames, " would fit")
                        : std::string("; no number of frames of this size would fit, use "
                                      "--device cpu")));
}

}  // namespace psagen::engine
