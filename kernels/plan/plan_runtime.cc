#include "kernels/plan/plan_runtime.h"

#include <sys/mman.h>

#include <algorithm>

#include "kernels/core/error.h"
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

// Host memory may be read by the program: it is there and zero, but takes no room before it is
// written.
class ZeroAllocator final : public Allocator {
 public:
  Device device() const override { return {}; }
  void* allocate(std::size_t bytes) override {
    void* const pointer = mmap(nullptr, std::max<std::size_t>(bytes, 1), PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    PSAGEN_CHECK(pointer != MAP_FAILED, ErrorCode::kOutOfMemory, "no address range of ", bytes,
                 " bytes is free");
    count(static_cast<std::ptrdiff_t>(bytes));
    return pointer;
  }
  void deallocate(void* pointer, std::size_t bytes) noexcept override {
    munmap(pointer, std::max<std::size_t>(bytes, 1));
    count(-static_cast<std::ptrdiff_t>(bytes));
  }
};

}  // namespace

PlanRuntime::PlanRuntime(Device device)
    : allocator_(std::make_unique<CountingAllocator>(device)),
      pinned_(std::make_unique<ZeroAllocator>()) {}

PlanRuntime::~PlanRuntime() = default;

std::unique_ptr<Ops> PlanRuntime::make_ops(Context& context) {
  return std::make_unique<PlanOps>(context);
}

}  // namespace psagen::kernels
