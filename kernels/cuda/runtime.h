// One GPU: its stream, memory, library handles and facts. Everything an op of this back end needs
// beside its arguments; no op has a handle or a stream of its own.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/core/context.h"
#include "kernels/core/device_runtime.h"

namespace psagen::kernels::cuda {

class CudaRuntime final : public DeviceRuntime {
 public:
  // Throws Error(kDevice) where options.device.index names no GPU of compute capability 8.0 or
  // more.
  explicit CudaRuntime(const ContextOptions& options);
  ~CudaRuntime() override;

  DeviceInfo info() const override;
  Allocator& allocator() override { return *allocator_; }
  Allocator& pinned_allocator() override { return *pinned_; }
  void release_unused() override;
  std::unique_ptr<Ops> make_ops(Context& context) override;
  RangeMarker* range_marker() override { return ranges_.get(); }
  std::unique_ptr<ZoneClock> make_zone_clock(std::size_t zones) override;
  void upload(ConstTensorView host, TensorView device) override;
  std::uint64_t download(ConstTensorView device, TensorView pinned) override;
  std::uint64_t prefetch(ConstTensorView pinned, TensorView device) override;
  void await_prefetch(std::uint64_t prefetch) override;
  std::uint64_t mark() override;
  void wait(std::uint64_t ticket) override;
  void synchronize() override;
  Queue exchange_queue(Queue queue) noexcept override;

  cudaStream_t stream() const { return stream_; }

  cublasLtHandle_t cublas() const { return cublas_; }
  const std::shared_ptr<TuningStore>& tuning_store() const { return options_.tuning_store; }
  std::string name() const { return properties_.name; }
  int multiprocessors() const {
    const int all = properties_.multiProcessorCount, most = options_.max_multiprocessors;
    return most > 0 ? std::min(all, most) : all;
  }
  bool is_deterministic() const { return options_.deterministic; }
  int compute_capability() const { return properties_.major * 10 + properties_.minor; }
  std::size_t l2_bytes() const { return static_cast<std::size_t>(properties_.l2CacheSize); }
  // Whether the kernels written for compute capability 9.0a are to be used.
  bool use_hopper_kernels() const {
    return compute_capability() == 90 && !options_.portable_kernels;
  }

 private:
  // Page-locked memory through which pageable host memory reaches the device, in turns.
  struct Staging {
    static constexpr int kSlots = 4;
    static constexpr std::size_t kBytes = std::size_t{32} << 20;
    std::array<std::byte*, kSlots> slots{};
    std::array<cudaEvent_t, kSlots> copied{};
    int next = 0;
    Tensor arrived;  // on the device: a part before it is converted
  };
  static constexpr int kTickets = 8;

  void upload_part(const std::byte* source, std::byte* target, std::size_t bytes);

  ContextOptions options_;
  cudaDeviceProp properties_{};
  cudaStream_t stream_ = nullptr;       // the runtime's own, or a caller's for a while
  cudaStream_t copy_stream_ = nullptr;  // uploads and downloads beside the computation
  cublasLtHandle_t cublas_ = nullptr;
  std::unique_ptr<RangeMarker> ranges_;
  std::unique_ptr<Allocator> allocator_;
  std::unique_ptr<Allocator> pinned_;
  Staging staging_;
  cudaEvent_t order_ = nullptr;  // between the stream and the copies'
  std::array<cudaEvent_t, kTickets> tickets_{};
  std::uint64_t next_ticket_ = 0;
  std::array<cudaEvent_t, kTickets> prefetches_{};  // on the copy stream, as tickets_ on the other
  std::uint64_t next_prefetch_ = 0;
};

}  // namespace psagen::kernels::cuda
