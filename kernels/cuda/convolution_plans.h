// Which way a convolution is computed, one decision for each shape met.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "kernels/cuda/conv3d.h"
#include "kernels/cuda/cudnn_convolution.h"
#include "kernels/cuda/implicit_conv3d.h"

namespace psagen::kernels::cuda {

// The kernels of our own; they take everything.
void compute_without_cudnn(CudaRuntime& runtime, const ConvolutionProblem& problem);

// cuDNN takes 16-bit types and channels in multiples of 8.
bool cudnn_takes(const ConvolutionProblem& problem);

// What cuDNN wants beside the problem, on the device and in the type of the filters.
struct CudnnFilters {
  const void* rounded_bias = nullptr;      // [out_channels]
  const void* doubling_filters = nullptr;  // of pack_doubling_filters, with `upsample`
};

struct ConvolutionPlans::Impl {
  explicit Impl(CudaRuntime& the_runtime) : runtime(the_runtime) {}
  ~Impl();

  // False where cuDNN is missing, has no engine or has none as fast as a kernel of our own; nothing
  // has been computed then.
  bool compute_by_cudnn(const ConvolutionProblem& problem, const CudnnFilters& filters,
                        Workspace& workspace);

 private:
  using Plan = std::shared_ptr<const CudnnPlan>;  // null: a kernel of our own

  bool has_cudnn();
  bool may_measure(const ConvolutionProblem& problem) const;
  cudnnStatus_t try_plan(const CudnnPlan& plan, const ConvolutionPointers& pointers,
                         Workspace& workspace);
  void execute(const CudnnPlan& plan, const ConvolutionPointers& pointers, Workspace& workspace);
  // `own` computes the same, or is empty; `pointers` is read only where `measure` holds.
  Plan plan_for(const ConvolutionSpec& spec, bool measure, const ConvolutionPointers& pointers,
                Workspace& workspace, const std::function<void()>& own);
  Plan fastest(const std::vector<Plan>& candidates, const ConvolutionPointers& pointers,
               Workspace& workspace, const std::function<void()>& own);
  // The frames of context and x behind each other.
  const void* joined_frames(const ConvolutionProblem& problem, Workspace::Scope& memory);
  bool compute_doubled(const ConvolutionProblem& problem, const CudnnFilters& filters,
                       Workspace& workspace);

  CudaRuntime& runtime;
  bool looked_for_cudnn = false;
  std::unique_ptr<const CudnnLibrary> cudnn;
  cudnnHandle_t handle = nullptr;
  // A shape keeps the plan of its first call, so that equal calls give equal bits.
  std::map<ConvolutionSpec, Plan> plans;
  // What measurement found for a layer; empty: a kernel of our own.
  std::map<ConvolutionSpec, std::optional<EngineChoice>> choices;
  std::map<ConvolutionSpec, bool> doubling_by_cudnn;
};

}  // namespace psagen::kernels::cuda
