// A GPU that is not there: memory is counted and never touched, ops compute nothing. Running a
// pipeline on it gives the memory the same run would take, by the very code that would take it.
#pragma once

#include <memory>

#include "kernels/core/context.h"
#include "kernels/core/device_runtime.h"

namespace psagen::kernels {

// What the CUDA ops take for themselves beside the tensors of the pipeline: products, joined frames
// and workspaces of the libraries, and the driver's own context. An upper bound, in bytes; an H100
// took 0.57 to 0.79 GB over fourteen runs (docs/benchmarks/gpu.md).
inline constexpr std::size_t kOpsReserve = 900'000'000;

class PlanRuntime final : public DeviceRuntime {
 public:
  explicit PlanRuntime(Device device);
  ~PlanRuntime() override;

  DeviceInfo info() const override { return {.name = "plan"}; }
  Allocator& allocator() override { return *allocator_; }
  Allocator& pinned_allocator() override { return *pinned_; }
  std::unique_ptr<Ops> make_ops(Context& context) override;
  void upload(ConstTensorView, TensorView) override {}
  std::uint64_t download(ConstTensorView, TensorView) override { return 0; }
  std::uint64_t prefetch(ConstTensorView, TensorView) override { return 0; }
  void await_prefetch(std::uint64_t) override {}
  std::uint64_t mark() override { return 0; }
  void wait(std::uint64_t) override {}
  void synchronize() override {}

 private:
  std::unique_ptr<Allocator> allocator_;
  std::unique_ptr<Allocator> pinned_;
};

}  // namespace psagen::kernels
