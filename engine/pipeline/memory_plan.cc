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

std::size_t stage_bytes(const MemoryPlan& plan, Stage stage) {
  for (const StageMemory& entry : plan.stages)
    if (entry.stage == stage) return entry.bytes;
  return 0;
}

// Fewer would be held by the two slots they pass through.
constexpr std::int64_t kFewestStreamed = 3;

}  // namespace

std::size_t MemoryPlan::peak() const { return largest(*this).bytes + reserve; }

MemoryPlanner::MemoryPlanner(std::filesystem::path model_directory, VideoRequest request,
                             const ContextOptions& options, VaeTiling tiling)
    : model_(std::move(model_directory)),
      request_(std::move(request)),
      options_(options),
      tiling_(tiling),
      config_(read_model_config(model_)) {}

MemoryPlan MemoryPlanner::plan(std::int64_t streamed_blocks) const {
  return plan(streamed_blocks, splits(tiling_).front());
}

MemoryPlan MemoryPlanner::plan(std::int64_t streamed_blocks, const DecodeSplit& split,
                               bool text_layers_in_turn) const {
  return plan_of(request_, streamed_blocks, split, text_layers_in_turn);
}

std::vector<DecodeSplit> MemoryPlanner::splits(VaeTiling tiling) const {
  const std::int64_t stride = config_.vae.spatial_stride();
  return decode_splits(tiling, request_.height / stride, request_.width / stride);
}

MemoryPlan MemoryPlanner::plan_of(const VideoRequest& request, std::int64_t streamed_blocks,
                                  const DecodeSplit& split, bool text_layers_in_turn) const {
  const std::unique_ptr<Context> context = kernels::make_plan_context(options_);
  Allocator& memory = context->allocator();
  MemoryPlan plan;
  plan.reserve = kernels::ops_reserve_bytes();
  plan.streamed_blocks = streamed_blocks;
  plan.text_layers_in_turn = text_layers_in_turn;
  plan.decode_split = split;
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
  options.text_layers_in_turn = text_layers_in_turn;
  options.decode_split = split;
  TextToVideo(model_, *context, options)
      .generate(
          one_step, [](const Frame&) {}, follow);
  note();
  plan.host_bytes = context->runtime()->pinned_allocator().peak_bytes();
  return plan;
}

std::int64_t MemoryPlanner::most_streamed() const {
  const std::int64_t num_blocks = config_.transformer.num_layers;
  return num_blocks >= kFewestStreamed ? num_blocks : 0;
}

std::int64_t MemoryPlanner::most_frames(std::size_t available, const MemoryPlan& smallest) const {
  constexpr std::int64_t kStride = 4;
  VideoRequest request = request_;
  const auto fits = [&](std::int64_t steps) {
    request.num_frames = kStride * steps + 1;
    return plan_of(request, most_streamed(), smallest.decode_split, smallest.text_layers_in_turn)
               .peak() <= available;
  };
  std::int64_t low = -1, high = (request.num_frames - 1) / kStride;  // fits(low), not fits(high)
  while (high - low > 1) {
    const std::int64_t middle = (low + high) / 2;
    (fits(middle) ? low : high) = middle;
  }
  return low < 0 ? 0 : kStride * low + 1;
}

MemoryPlan MemoryPlanner::fit_decode(std::size_t available, VaeTiling tiling,
                                     bool text_layers_in_turn) const {
  const auto decode_peak = [](const MemoryPlan& plan) {
    return stage_bytes(plan, Stage::kDecode) + plan.reserve;
  };
  MemoryPlan best;
  for (const DecodeSplit& split : splits(tiling)) {
    const MemoryPlan tried = plan(most_streamed(), split, text_layers_in_turn);
    if (best.stages.empty() || decode_peak(tried) < decode_peak(best)) best = tried;
    if (decode_peak(tried) <= available) return tried;
  }
  return best;
}

std::string MemoryPlanner::smallest_change(const MemoryPlan& smallest,
                                           std::size_t available) const {
  if (tiling_ == VaeTiling::kOff &&
      fit_decode(available, VaeTiling::kAuto, smallest.text_layers_in_turn).peak() <= available)
    return "without --vae-tiling off it would fit";
  const std::int64_t frames = most_frames(available, smallest);
  if (frames > 0) return concat("--frames ", frames, " would fit");
  return "no number of frames of this size would fit, use --device cpu";
}

void MemoryPlanner::check_host(const MemoryPlan& plan, std::size_t available) const {
  if (plan.streamed_blocks == 0 || plan.host_bytes <= available) return;
  std::int64_t blocks = plan.streamed_blocks;
  MemoryPlan fewer = plan;
  while (fewer.host_bytes > available && blocks > 0) {
    blocks = blocks > kFewestStreamed ? blocks - 1 : 0;
    fewer = this->plan(blocks, plan.decode_split, plan.text_layers_in_turn);
  }
  throw Error(ErrorCode::kOutOfMemory,
              concat("this run keeps ", gigabytes(plan.host_bytes, true),
                     " of the transformer in page-locked host memory, and there are ",
                     gigabytes(available, false), "; with ", gigabytes(fewer.peak(), true),
                     " of GPU memory (--vram-limit) it would fit"));
}

MemoryPlan MemoryPlanner::fit(std::size_t available) const {
  MemoryPlan best = plan(0);
  if (best.peak() <= available) return best;
  // What a stage takes does not depend on how the others are made to fit.
  const bool in_turn = stage_bytes(best, Stage::kEncodeText) + best.reserve > available;
  const MemoryPlan smallest = fit_decode(available, tiling_, in_turn);
  if (smallest.peak() > available)
    throw Error(
        ErrorCode::kOutOfMemory,
        concat("this run takes at least ", gigabytes(smallest.peak(), true),
               " of GPU memory (stage '", stage_name(largest(smallest).stage), "'), and there are ",
               gigabytes(available, false), "; ", smallest_change(smallest, available)));
  best = plan(0, smallest.decode_split, in_turn);
  if (best.peak() <= available) return best;
  std::int64_t low = kFewestStreamed - 1, high = most_streamed();  // not fit(low), fit(high)
  best = smallest;
  while (high - low > 1) {
    const std::int64_t middle = (low + high) / 2;
    const MemoryPlan tried = plan(middle, smallest.decode_split, in_turn);
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
