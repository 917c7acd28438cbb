// Frames on their way from the decoder to who wants them. On a GPU a chunk's frames are copied to
// page-locked host memory and handed over when the next chunk has been queued, so that writing a
// video and computing it go on at the same time.
#pragma once

#include <array>
#include <cstdint>
#include <functional>

#include "kernels/core/context.h"
#include "kernels/core/tensor.h"

namespace psagen::engine {

class FrameDelivery {
 public:
  // Receives frames in host memory that is used again afterwards; `done` counts what push() said.
  using Sink = std::function<void(ConstTensorView frames, std::int64_t done)>;

  // No chunk is larger than `largest`.
  FrameDelivery(Context& context, DType dtype, const Shape& largest, Sink sink);
  // Waits for copies under way; frames not handed over are dropped.
  ~FrameDelivery();
  FrameDelivery(const FrameDelivery&) = delete;
  FrameDelivery& operator=(const FrameDelivery&) = delete;

  // The frames of the next chunk, on the context's device; their memory may be used again by ops
  // called later. Hands over all chunks before this one, on the CPU this one too.
  void push(ConstTensorView frames, std::int64_t done);
  // Hands over what is left.
  void finish();

 private:
  struct Slot {
    Tensor memory;
    ConstTensorView frames;  // empty: handed over
    std::int64_t done = 0;
    std::uint64_t ticket = 0;
  };

  void hand_over(Slot& slot);

  DeviceRuntime* runtime_;
  Sink sink_;
  std::array<Slot, 2> slots_;
  std::size_t next_ = 0;
};

}  // namespace psagen::engine
