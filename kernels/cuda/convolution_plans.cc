#include "kernels/cuda/convolution_plans.h"

#include <algorithm>
#include <functional>
#include <vector>

#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/kept_on_host.h"

namespace psagen::kernels::cuda {
namespace {

constexpr int kPlansTried = 8;
constexpr std::size_t kMostWorkspace = std::size_t{64} << 20;

bool is_aligned(const void* pointer) {
  constexpr std::uintptr_t kAlignment = 16;
  return reinterpret_cast<std::uintptr_t>(pointer) % kAlignment == 0;
}

// The problem as cuDNN sees it, frames of the context counted as frames of x.
ConvolutionSpec spec_of(const ConvolutionProblem& problem) {
  const std::int64_t before = problem.kernel_t - 1, pad = (problem.kernel_s - 1) / 2;
  const bool has_context = problem.context != nullptr;
  ConvolutionSpec spec;
  spec.dtype = problem.dtype;
  spec.in_channels = problem.in_channels;
  spec.out_channels = problem.out_channels;
  spec.in = {problem.frames + (has_context ? before : 0), problem.height, problem.width};
  spec.kernel = {problem.kernel_t, problem.kernel_s, problem.kernel_s};
  spec.pad_before = {has_context ? 0 : before, pad, pad};
  spec.pad_after = {0, pad, pad};
  spec.residual = problem.residual.data != nullptr;
  return spec;
}

// What calls that may share an engine have in common: all but what is added, and where the frames
// before them come from. Not the number of frames: the best engine for the one frame with which a
// clip begins is not the best for the chunks after it, which are all the work.
ConvolutionSpec layer_of(ConvolutionSpec spec) {
  spec.in[0] += spec.pad_before[0];
  spec.pad_before[0] = 0;
  spec.residual = false;
  return spec;
}

// All numbers of a layer.
std::vector<std::int64_t> numbers_of(const ConvolutionSpec& layer) {
  std::vector<std::int64_t> numbers = {static_cast<std::int64_t>(layer.dtype), layer.in_channels,
                                       layer.out_channels, layer.residual ? 1 : 0};
  for (const auto& sizes : {layer.in, layer.kernel, layer.pad_before, layer.pad_after})
    numbers.insert(numbers.end(), sizes.begin(), sizes.end());
  return numbers;
}

// As a store keeps it: nothing for a kernel of our own, else the engine, then knobs and values.
TuningStore::Choice stored(const std::optional<EngineChoice>& choice) {
  if (!choice) return {};
  TuningStore::Choice numbers = {choice->engine};
  for (const auto& [knob, value] : choice->knobs) {
    numbers.push_back(static_cast<std::int64_t>(knob));
    numbers.push_back(value);
  }
  return numbers;
}

EngineChoice engine_of(const TuningStore::Choice& numbers) {
  EngineChoice choice;
  choice.engine = numbers.front();
  for (std::size_t i = 1; i + 1 < numbers.size(); i += 2)
    choice.knobs.emplace_back(static_cast<cudnnBackendKnobType_t>(numbers[i]), numbers[i + 1]);
  return choice;
}

class Timer {
 public:
  explicit Timer(cudaStream_t stream) : stream_(stream) {
    for (cudaEvent_t& event : events_) PSAGEN_CUDA(cudaEventCreate(&event));
  }
  ~Timer() {
    for (cudaEvent_t event : events_) cudaEventDestroy(event);
  }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // Of the second of two runs: the first loads the kernel.
  float milliseconds(const std::function<void()>& run) {
    run();
    PSAGEN_CUDA(cudaEventRecord(events_[0], stream_));
    run();
    PSAGEN_CUDA(cudaEventRecord(events_[1], stream_));
    PSAGEN_CUDA(cudaEventSynchronize(events_[1]));
    float result = 0.0f;
    PSAGEN_CUDA(cudaEventElapsedTime(&result, events_[0], events_[1]));
    return result;
  }

 private:
  cudaStream_t stream_;
  std::array<cudaEvent_t, 2> events_{};
};

}  // namespace

void compute_without_cudnn(CudaRuntime& runtime, const ConvolutionProblem& problem) {
  if (implicit_conv3d_takes(problem)) return implicit_conv3d(runtime, problem);
  direct_conv3d(runtime, problem);
}

bool cudnn_takes(const ConvolutionProblem& problem) {
  constexpr int kChannelStep = 8;  // what fills 16 bytes
  return (problem.dtype == DType::kBF16 || problem.dtype == DType::kF16) &&
         problem.in_channels % kChannelStep == 0 && problem.out_channels % kChannelStep == 0 &&
         problem.y.dtype == problem.dtype &&
         (problem.residual.data == nullptr || problem.residual.dtype == problem.dtype) &&
         !problem.upsample && is_aligned(problem.x) && is_aligned(problem.context) &&
         is_aligned(problem.y.data) && is_aligned(problem.residual.data);
}

ConvolutionPlans::Impl::~Impl() {
  plans.clear();
  if (handle != nullptr) cudnn->destroy(handle);
}

bool ConvolutionPlans::Impl::has_cudnn() {
  if (looked_for_cudnn) return handle != nullptr;
  looked_for_cudnn = true;
  cudnn = CudnnLibrary::open();
  if (cudnn == nullptr) return false;
  if (cudnn->create(&handle) != CUDNN_STATUS_SUCCESS) {
    handle = nullptr;
    return false;
  }
  if (cudnn->set_stream(handle, runtime.stream()) == CUDNN_STATUS_SUCCESS) {
    tuned.emplace(runtime, concat("cudnn ", cudnn->version));
    return true;
  }
  cudnn->destroy(handle);
  handle = nullptr;
  return false;
}

// Nothing can be waited for while the stream is recorded.
bool ConvolutionPlans::Impl::may_measure() const {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  PSAGEN_CUDA(cudaStreamIsCapturing(runtime.stream(), &status));
  return status == cudaStreamCaptureStatusNone;
}

cudnnStatus_t ConvolutionPlans::Impl::try_plan(const CudnnPlan& plan,
                                               const ConvolutionPointers& pointers,
                                               Workspace& workspace) {
  constexpr std::uintptr_t kWorkspaceAlignment = 256;
  Workspace::Scope memory(workspace);
  const auto taken = reinterpret_cast<std::uintptr_t>(
      memory.take<std::byte>(plan.workspace_bytes() + kWorkspaceAlignment));
  const std::uintptr_t aligned =
      (taken + kWorkspaceAlignment - 1) / kWorkspaceAlignment * kWorkspaceAlignment;
  return plan.execute(pointers, reinterpret_cast<void*>(aligned));
}

void ConvolutionPlans::Impl::execute(const CudnnPlan& plan, const ConvolutionPointers& pointers,
                                     Workspace& workspace) {
  const cudnnStatus_t status = try_plan(plan, pointers, workspace);
  PSAGEN_CHECK(status == CUDNN_STATUS_SUCCESS, ErrorCode::kDevice,
               "cuDNN: ", cudnn->error_string(status), " (convolution)");
}

ConvolutionPlans::Impl::Plan ConvolutionPlans::Impl::recall(const ConvolutionSpec& spec) {
  const ConvolutionSpec layer = layer_of(spec);
  const std::optional<TuningStore::Choice> numbers = tuned->find(numbers_of(layer));
  if (!numbers) return nullptr;
  if (numbers->empty()) {
    choices.emplace(layer, std::nullopt);
    return nullptr;
  }
  const EngineChoice choice = engine_of(*numbers);
  Plan plan = plan_of_choice(*cudnn, handle, spec, choice);
  if (plan == nullptr || plan->workspace_bytes() > kMostWorkspace) return nullptr;
  choices.emplace(layer, choice);
  return plan;
}

ConvolutionPlans::Impl::Plan ConvolutionPlans::Impl::plan_for(const ConvolutionSpec& spec,
                                                              const ConvolutionProblem& problem,
                                                              const ConvolutionPointers& pointers,
                                                              Workspace& workspace) {
  const ConvolutionSpec layer = layer_of(spec);
  Plan plan;
  if (!choices.contains(layer)) plan = recall(spec);
  const auto choice = choices.find(layer);
  const bool is_known = choice != choices.end();
  if (plan == nullptr && is_known && choice->second.has_value())
    plan = plan_of_choice(*cudnn, handle, spec, *choice->second);
  if (plan != nullptr && plan->workspace_bytes() > kMostWorkspace) plan = nullptr;
  const bool is_own = is_known && !choice->second.has_value();
  if (plan == nullptr && !is_own) {
    const std::vector<Plan> candidates =
        propose_plans(*cudnn, handle, spec, kMostWorkspace, kPlansTried);
    if (may_measure() && !is_known) {
      const std::size_t bytes =
          static_cast<std::size_t>(problem.frames) * static_cast<std::size_t>(problem.height) *
          static_cast<std::size_t>(problem.width) * static_cast<std::size_t>(problem.out_channels) *
          dtype_size(problem.y.dtype);
      const bool adds = problem.residual.data == problem.y.data;
      KeptOnHost kept(runtime.stream(), problem.y.data, adds ? bytes : 0);
      plan = fastest(candidates, problem, pointers, workspace);
      kept.restore();
      const auto found = plan == nullptr ? std::nullopt : std::optional(plan->choice());
      choices.emplace(layer, found);
      tuned->keep(numbers_of(layer), stored(found));
    } else if (!candidates.empty()) {
      plan = candidates.front();
    }
  }
  plans.emplace(spec, plan);
  return plan;
}

// Candidates come in the order the heuristics trust them: a later one must be clearly faster.
ConvolutionPlans::Impl::Plan ConvolutionPlans::Impl::fastest(const std::vector<Plan>& candidates,
                                                             const ConvolutionProblem& problem,
                                                             const ConvolutionPointers& pointers,
                                                             Workspace& workspace) {
  constexpr float kClearly = 0.97f;
  Timer timer(runtime.stream());
  Plan best;
  float best_time = 0.0f;
  for (const Plan& plan : candidates) {
    bool good = true;
    const float time = timer.milliseconds(
        [&] { good = good && try_plan(*plan, pointers, workspace) == CUDNN_STATUS_SUCCESS; });
    if (!good || (best != nullptr && time >= kClearly * best_time)) continue;
    best = plan;
    best_time = time;
  }
  if (best == nullptr) return best;
  const float own_time = timer.milliseconds([&] { compute_without_cudnn(runtime, problem); });
  return own_time < kClearly * best_time ? nullptr : best;
}

const void* ConvolutionPlans::Impl::joined_frames(const ConvolutionProblem& problem,
                                                  Workspace::Scope& memory) {
  if (problem.context == nullptr) return problem.x;
  const std::size_t frame =
      static_cast<std::size_t>(problem.height) * static_cast<std::size_t>(problem.width) *
      static_cast<std::size_t>(problem.in_channels) * dtype_size(problem.dtype);
  const std::size_t before = frame * static_cast<std::size_t>(problem.kernel_t - 1);
  // Frames that lie behind their context need no copy.
  if (static_cast<const std::byte*>(problem.context) + before == problem.x) return problem.context;
  const std::size_t bytes = frame * static_cast<std::size_t>(problem.frames);
  std::byte* const joined = memory.take<std::byte>(before + bytes);
  PSAGEN_CUDA(
      cudaMemcpyAsync(joined, problem.context, before, cudaMemcpyDeviceToDevice, runtime.stream()));
  PSAGEN_CUDA(cudaMemcpyAsync(joined + before, problem.x, bytes, cudaMemcpyDeviceToDevice,
                              runtime.stream()));
  return joined;
}

bool ConvolutionPlans::Impl::compute_by_cudnn(const ConvolutionProblem& problem,
                                              const void* rounded_bias, Workspace& workspace) {
  if (!has_cudnn()) return false;
  const ConvolutionSpec spec = spec_of(problem);
  const auto known = plans.find(spec);
  if (known != plans.end() && known->second == nullptr) return false;
  Workspace::Scope memory(workspace);
  ConvolutionPointers pointers{.x = joined_frames(problem, memory),
                               .weight = problem.weight,
                               .bias = rounded_bias,
                               .residual = problem.residual.data,
                               .y = problem.y.data};
  const Plan plan =
      known != plans.end() ? known->second : plan_for(spec, problem, pointers, workspace);
  if (plan == nullptr) return false;
  execute(*plan, pointers, workspace);
  return true;
}

ConvolutionPlans::ConvolutionPlans(CudaRuntime& runtime) : impl_(std::make_unique<Impl>(runtime)) {}

ConvolutionPlans::~ConvolutionPlans() = default;

}  // namespace psagen::kernels::cuda
