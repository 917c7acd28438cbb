// One GPU as the rest of the program sees it: memory, the stream everything is queued on, and the
// ops that queue. The CUDA module implements it (kernels/cuda); nothing here needs CUDA to compile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/core/allocator.h"
#include "kernels/core/tensor.h"

namespace psagen {

class Context;
class RangeMarker;
class ZoneClock;
namespace kernels {
class Ops;
}

struct DeviceInfo {
  std::string name;            // as the driver says it
  int compute_capability = 0;  // 90 for Hopper
  int multiprocessors = 0;
  std::size_t total_bytes = 0;
  std::size_t free_bytes = 0;  // now, memory the allocator keeps for reuse counted as free
  std::string versions = {};   // of driver and libraries, for people
  std::string missing = {};    // a library that is not there and makes ops slower; for people
};

class DeviceRuntime {
 public:
  virtual ~DeviceRuntime() = default;

  virtual DeviceInfo info() const = 0;
  // Device memory, ordered by the stream: what is given back is used again by later work only.
  virtual Allocator& allocator() = 0;
  // Page-locked host memory, which the device copies to and from while other work runs.
  virtual Allocator& pinned_allocator() = 0;
  // Waits for everything queued so far and gives memory that no tensor holds back to the device,
  // where the allocator has kept it: between stages, when the next one wants other sizes.
  virtual void release_unused() {}
  virtual std::unique_ptr<kernels::Ops> make_ops(Context& context) = 0;
  // For the device's profiler (profile.h); null where none is attached.
  virtual RangeMarker* range_marker() { return nullptr; }
  // A clock of the device for zones (profile.h), which waits for the oldest where more than `zones`
  // are under way. Null: there is none.
  virtual std::unique_ptr<ZoneClock> make_zone_clock(std::size_t /*zones*/) { return nullptr; }

  // Queues a copy of contiguous host memory, converting the element type on the way (F32, BF16 and
  // F16 among each other, else equal types). The host memory may be changed once the call returns.
  virtual void upload(ConstTensorView host, TensorView device) = 0;
  // Queues a copy into page-locked memory; the bytes are there once its ticket was waited for.
  virtual std::uint64_t download(ConstTensorView device, TensorView pinned) = 0;
  // Queues a copy from page-locked memory that runs beside the work queued after it: it begins when
  // everything queued so far is done. Work queued after await_prefetch() begins when it is done.
  virtual std::uint64_t prefetch(ConstTensorView pinned, TensorView device) = 0;
  virtual void await_prefetch(std::uint64_t prefetch) = 0;
  // A ticket for everything queued so far.
  virtual std::uint64_t mark() = 0;
  virtual void wait(std::uint64_t ticket) = 0;
  // Waits for everything queued so far. Throws Error(kDevice) where any of it failed.
  virtual void synchronize() = 0;

  // Where work is queued (a cudaStream_t; null is CUDA's default stream), and the current GPU of
  // the calling thread.
  struct Queue {
    void* stream = nullptr;
    int thread_device = 0;
  };
  // Lets what follows go to a stream of the caller. Returns what was in use, which is to be brought
  // back once the caller's work is queued; until then only ops may be called, with lent memory
  // (Context::Loan): the memory of allocator() stays ordered by the runtime's own stream.
  virtual Queue exchange_queue(Queue queue) noexcept { return queue; }
};

}  // namespace psagen
