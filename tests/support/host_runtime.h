// A GPU made of host memory: everything the program does differently for a GPU (uploads, memory of
// its own, frames fetched by ticket, parts loaded in turn) runs, with the CPU's ops. Float32 only.
//
// Copies take effect when they are waited for at the latest, and uploads at once; what is not
// waited for is poison, so that a missing wait shows.
#pragma once

#include <chrono>
#include <cstring>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kernels/core/context.h"
#include "kernels/core/device_runtime.h"
#include "kernels/core/profile.h"
#include "kernels/cpu/cpu_ops.h"

namespace psagen::testing {

// Every range that was drawn, as a path of the ranges around it.
class RecordedRanges final : public RangeMarker {
 public:
  void begin(const char* name) override {
    open_.push_back((open_.empty() ? std::string() : open_.back() + "/") + name);
    paths_.insert(open_.back());
  }
  void end() override { open_.pop_back(); }

  const std::set<std::string>& paths() const { return paths_; }
  std::size_t num_open() const { return open_.size(); }

 private:
  std::vector<std::string> open_;
  std::set<std::string> paths_;
};

class HostRuntime final : public DeviceRuntime {
 public:
  HostRuntime() : memory_({DeviceKind::kCuda, 0}), pinned_({}) {}
  ~HostRuntime() override = default;

  DeviceInfo info() const override { return {.name = "host memory"}; }
  Allocator& allocator() override { return memory_; }
  Allocator& pinned_allocator() override { return pinned_; }
  std::unique_ptr<kernels::Ops> make_ops(Context& context) override {
    ops_ = std::make_unique<kernels::CpuOps>(context);
    return std::make_unique<kernels::CpuOps>(context);
  }
  RangeMarker* range_marker() override { return &ranges_; }
  std::unique_ptr<ZoneClock> make_zone_clock(std::size_t) override {
    return std::make_unique<LateClock>();
  }
  const RecordedRanges& ranges() const { return ranges_; }
  void upload(ConstTensorView host, TensorView device) override { ops_->copy(host, device); }
  std::uint64_t download(ConstTensorView device, TensorView pinned) override {
    std::vector<std::byte> values(device.bytes(), device.bytes() + device.num_bytes());
    std::memset(pinned.bytes(), 0x5a, pinned.num_bytes());
    waiting_.push_back({std::move(values), pinned.bytes()});
    return mark();
  }
  std::uint64_t prefetch(ConstTensorView pinned, TensorView device) override {
    std::memset(device.bytes(), 0xff, device.num_bytes());
    arriving_.push_back({{pinned.bytes(), pinned.bytes() + pinned.num_bytes()}, device.bytes()});
    return ++prefetches_;
  }
  void await_prefetch(std::uint64_t prefetch) override {
    for (; arrived_ < prefetch; ++arrived_) {
      const Download& copy = arriving_[arrived_];
      std::memcpy(copy.target, copy.values.data(), copy.values.size());
    }
  }
  std::uint64_t num_prefetches() const { return prefetches_; }
  // Device memory there is, from now on.
  void set_memory(std::size_t bytes) { memory_.limit = bytes; }
  std::uint64_t mark() override { return ++marks_; }
  // Tickets are done in order; one that is waited for takes those before it along.
  void wait(std::uint64_t) override {
    for (const Download& download : waiting_)
      std::memcpy(download.target, download.values.data(), download.values.size());
    waiting_.clear();
  }
  void synchronize() override { wait(marks_); }

 private:
  // Tells nothing before it is settled.
  class LateClock final : public ZoneClock {
   public:
    void begin() override { start_ = Clock::now(); }
    void end(double& seconds) override {
      times_.emplace_back(&seconds, std::chrono::duration<double>(Clock::now() - start_).count());
    }
    void settle() override {
      for (const auto& [seconds, time] : times_) *seconds += time;
      times_.clear();
    }

   private:
    using Clock = std::chrono::steady_clock;
    Clock::time_point start_;
    std::vector<std::pair<double*, double>> times_;
  };
  class DeviceAllocator final : public Allocator {
   public:
    explicit DeviceAllocator(Device device) : device_(device) {}
    Device device() const override { return device_; }
    void* allocate(std::size_t bytes) override {
      PSAGEN_CHECK(bytes_in_use() + bytes <= limit, ErrorCode::kOutOfMemory, "no memory for ",
                   bytes, " bytes");
      void* const pointer = memory_.allocate(bytes);
      std::memset(pointer, 0xff, bytes);  // NaN
      count(static_cast<std::ptrdiff_t>(bytes));
      return pointer;
    }
    void deallocate(void* pointer, std::size_t bytes) noexcept override {
      memory_.deallocate(pointer, bytes);
      count(-static_cast<std::ptrdiff_t>(bytes));
    }

    std::size_t limit = std::numeric_limits<std::size_t>::max();

   private:
    CpuAllocator memory_;
    Device device_;
  };
  struct Download {
    std::vector<std::byte> values;
    std::byte* target;
  };

  DeviceAllocator memory_, pinned_;
  std::unique_ptr<kernels::Ops> ops_;
  RecordedRanges ranges_;
  std::vector<Download> waiting_;
  std::uint64_t marks_ = 0;
  std::vector<Download> arriving_;  // as Download, the other way
  std::uint64_t prefetches_ = 0, arrived_ = 0;
};

inline std::unique_ptr<Context> make_host_runtime_context(int num_threads = 0) {
  ContextOptions options;
  options.device = {DeviceKind::kCuda, 0};
  options.num_threads = num_threads;
  return std::make_unique<Context>(options, std::make_unique<HostRuntime>());
}

}  // namespace psagen::testing
