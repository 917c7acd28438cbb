#include "kernels/plan/plan_runtime.h"

#include <algorithm>
#include <cstring>

#include "kernels/plan/plan_ops.h"

namespace psagen::kernels {
namespace {

// Addresses without memory behind them, never given twice.
class CountingAllocator final : public Allocator {
 public:
  explicit CountingAllocator(Device device) : device_(device) {}
  Device device() const override { return device_; }
  void* allocate(std::size_t bytes) override {
    constexpr std::uintptr_t kAlignment = 256;
    const std::uintptr_t address = next_;
    next_ += (std::max<std::size_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;
    count(static_cast<std::ptrdiff_t>(bytes));
    return reinterpret_cast<void*>(address);  // NOLINT(performance-no-int-to-ptr)
  }
  void deallocate(void*, std::size_t bytes) noexcept override {
    count(-static_cast<std::ptrdiff_t>(bytes));
  }

 private:
  Device device_;
  std::uintptr_t next_ = std::uintptr_t{1} << 40;
};

// Host memory is small and read by the program: real, and zero.
class ZeroedAllocator final : public Allocator {
 public:
  Device device() const override { return {}; }
  void* allocate(std::size_t bytes) override {
    void* const pointer = memory_.allocate(bytes);
    std::memset(pointer, 0, bytes);
    count(static_cast<std::ptrdiff_t>(bytes));
    return pointer;
  }
  void deallocate(void* pointer, std::size_t bytes) noexcept override {
    memory_.deallocate(pointer, bytes);
    count(-static_cast<std::ptrdiff_t>(bytes));
  }

 private:
  CpuAllocator memory_;
};

}  // namespace

PlanRuntime::PlanRuntime(Device device)
    : allocator_(std::make_unique<CountingAllocator>(device)),
      pinned_(std::make_unique<ZeroedAllocator>()) {}

PlanRuntime::~PlanRuntime() = default;

std::unique_ptr<Ops> PlanRuntime::make_ops(Context& context) {
  return std::make_unique<PlanOps>(context);
}

}  // namespace psagen::kernels
