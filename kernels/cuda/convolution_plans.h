// Which way a convolution is computed, one decision for each shape met.
#pragma once

#include <map>
#include <memory>
#include <optional>

#include "kernels/cuda/conv3d.h"
#include "kernels/cuda/cudnn_convolution.h"
#include "kernels/cuda/implicit_conv3d.h"
#include "kernels/cuda/tuned_choices.h"

namespace psagen::kernels::cuda {

// The kernels of our own; they take everything.
void compute_without_cudnn(CudaRuntime& runtime, const ConvolutionProblem& problem);

// cuDNN takes 16-bit types and channels in multiples of 8, and frames that are not to be doubled.
bool cudnn_takes(const ConvolutionProblem& problem);

struct ConvolutionPlans::Impl {
  explicit Impl(CudaRuntime& the_runtime) : runtime(the_runtime) {}
  ~Impl();

  // False where cuDNN is missing, has no engine or has none as fast as a kernel of our own; nothing
  // has been computed then. rounded_bias [out_channels] is of the filters' type.
  bool compute_by_cudnn(const ConvolutionProblem& problem, const void* rounded_bias,
                        Workspace& workspace);

 private:
  using Plan = std::shared_ptr<const CudnnPlan>;  // null: a kernel of our own

  bool has_cudnn();
  bool may_measure() const;
  cudnnStatus_t try_plan(const CudnnPlan& plan, const ConvolutionPointers& pointers,
                         Workspace& workspace);
  void execute(const CudnnPlan& plan, const ConvolutionPointers& pointers, Workspace& workspace);
  // Takes the choice of an earlier run for a layer met for the first time, if it still serves.
  Plan recall(const ConvolutionSpec& spec);
  // For a shape met for the first time; `pointers` are those of `problem`.
  Plan plan_for(const ConvolutionSpec& spec, const ConvolutionProblem& problem,
                const ConvolutionPointers& pointers, Workspace& workspace);
  // Computes y again and again; where it is added to, it is not what it was.
  Plan fastest(const std::vector<Plan>& candidates, const ConvolutionProblem& problem,
               const ConvolutionPointers& pointers, Workspace& workspace);
  // The frames of context and x behind each other.
  const void* joined_frames(const ConvolutionProblem& problem, Workspace::Scope& memory);

  CudaRuntime& runtime;
  bool looked_for_cudnn = false;
  std::unique_ptr<const CudnnLibrary> cudnn;
  cudnnHandle_t handle = nullptr;
  // A shape keeps the plan of its first call, so that equal calls give equal bits.
  std::map<ConvolutionSpec, Plan> plans;
  // What measurement found for a layer, in this run or an earlier one; empty: a kernel of our own.
  std::map<ConvolutionSpec, std::optional<EngineChoice>> choices;
  std::optional<TunedChoices> tuned;  // where there is cuDNN
};

}  // namespace psagen::kernels::cuda
