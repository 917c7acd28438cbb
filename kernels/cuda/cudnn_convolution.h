// Convolutions of cuDNN's graph API: y = conv(x) (+ residual) + bias, channels last, as one graph.
//
// The order matters. Of the graphs tried on cuDNN 9.19 for compute capability 9.0 only this one
// (9.14 has it too), residual before bias and bias of the type of y, is met by engines compiled
// beforehand, at microseconds a plan; with a float32 bias, or the bias first, cuDNN compiles a
// kernel for each shape when the plan is made (a quarter to half a second), and offers three
// instead of forty.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/core/dtype.h"
#include "kernels/cuda/cudnn_library.h"

namespace psagen::kernels::cuda {

struct ConvolutionSpec {
  DType dtype = DType::kBF16;                      // of everything; sums are float32
  std::int64_t in_channels = 0, out_channels = 0;  // multiples of 8
  std::array<std::int64_t, 3> in{};                // frames, rows, columns of x
  std::array<std::int64_t, 3> kernel{};
  std::array<std::int64_t, 3> pad_before{}, pad_after{};  // zeros
  bool residual = false;

  std::array<std::int64_t, 3> out() const;
  auto operator<=>(const ConvolutionSpec&) const = default;
};

// How cuDNN is to compute; serves other numbers of frames as well.
struct EngineChoice {
  std::int64_t engine = 0;
  std::vector<std::pair<cudnnBackendKnobType_t, std::int64_t>> knobs;
};

// A cuDNN object, and what it was made of, which lives as long; false where making or changing it
// failed, which means "not supported" here.
class CudnnDescriptor {
 public:
  using Shared = std::shared_ptr<CudnnDescriptor>;

  static Shared make(const CudnnLibrary& library, cudnnBackendDescriptorType_t type) {
    return std::make_shared<CudnnDescriptor>(library, type);
  }
  CudnnDescriptor(const CudnnLibrary& library, cudnnBackendDescriptorType_t type);
  CudnnDescriptor(const CudnnDescriptor&) = delete;
  CudnnDescriptor& operator=(const CudnnDescriptor&) = delete;
  ~CudnnDescriptor();

  explicit operator bool() const { return good_; }
  cudnnBackendDescriptor_t raw() const { return raw_; }

  CudnnDescriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                       std::int64_t count, const void* values);
  template <typename T>
  CudnnDescriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                       const T& value) {
    return set(name, type, 1, &value);
  }
  CudnnDescriptor& set(cudnnBackendAttributeName_t name, const std::vector<Shared>& parts);
  CudnnDescriptor& set(cudnnBackendAttributeName_t name, const Shared& part) {
    return set(name, std::vector<Shared>{part});
  }
  CudnnDescriptor& finalize();
  // How many of at most `count` values were there; 0 also where the question failed.
  std::int64_t get(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                   std::int64_t count, void* values) const;
  // The same for descriptors, which cuDNN fills in; `most` are made for that.
  std::vector<Shared> get(cudnnBackendAttributeName_t name, cudnnBackendDescriptorType_t type,
                          int most) const;

 private:
  const CudnnLibrary* library_;
  cudnnBackendDescriptor_t raw_ = nullptr;
  bool good_;
  std::vector<Shared> parts_;
};

// Where the tensors of a call lie, on the device; 16-byte aligned.
struct ConvolutionPointers {
  const void* x = nullptr;
  const void* weight = nullptr;  // [out_channels, kernel, in_channels]
  const void* bias = nullptr;
  const void* residual = nullptr;  // may be y
  void* y = nullptr;
};

class CudnnPlan {
 public:
  // Null where the engine cannot do it.
  static std::shared_ptr<const CudnnPlan> make(const CudnnLibrary& library, cudnnHandle_t handle,
                                               const CudnnDescriptor::Shared& graph,
                                               const CudnnDescriptor::Shared& config);

  std::size_t workspace_bytes() const { return workspace_bytes_; }
  EngineChoice choice() const;
  cudnnStatus_t execute(const ConvolutionPointers& pointers, void* workspace) const;

 private:
  CudnnPlan(const CudnnLibrary& library, cudnnHandle_t handle)
      : library_(library), handle_(handle) {}

  const CudnnLibrary& library_;
  cudnnHandle_t handle_;
  CudnnDescriptor::Shared graph_, config_, plan_;
  std::size_t workspace_bytes_ = 0;
};

// The plans cuDNN's heuristics propose, best first, none that wants more workspace.
std::vector<std::shared_ptr<const CudnnPlan>> propose_plans(const CudnnLibrary& library,
                                                            cudnnHandle_t handle,
                                                            const ConvolutionSpec& spec,
                                                            std::size_t most_workspace,
                                                            int most_plans);
// The plan of a given engine; null where it cannot do it.
std::shared_ptr<const CudnnPlan> plan_of_choice(const CudnnLibrary& library, cudnnHandle_t handle,
                                                const ConvolutionSpec& spec,
                                                const EngineChoice& choice);

}  // namespace psagen::kernels::cuda
