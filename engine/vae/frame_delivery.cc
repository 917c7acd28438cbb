#include "engine/vae/frame_delivery.h"

#include <utility>

#include "kernels/core/error.h"

namespace psagen::engine {

FrameDelivery::FrameDelivery(Context& context, DType dtype, const Shape& largest, Sink sink)
    : runtime_(context.runtime()), sink_(std::move(sink)) {
  if (runtime_ == nullptr) return;
  for (Slot& slot : slots_) slot.memory = Tensor(runtime_->pinned_allocator(), dtype, largest);
}

FrameDelivery::~FrameDelivery() {
  for (Slot& slot : slots_) {
    if (!slot.frames) continue;
    try {
      runtime_->wait(slot.ticket);
    } catch (const Error&) {  // whoever left early has an error of his own
    }
  }
}

void FrameDelivery::push(ConstTensorView frames, std::int64_t done) {
  if (runtime_ == nullptr) return sink_(frames, done);
  Slot& slot = slots_[next_];
  next_ = 1 - next_;
  const TensorView memory = slot.memory.view();
  PSAGEN_CHECK(frames.num_bytes() <= memory.num_bytes(), ErrorCode::kInternal, "frames of shape ",
               frames.shape(), " for memory of ", memory.shape());
  const TensorView target(memory.bytes(), frames.dtype(), frames.shape(), memory.device());
  slot.ticket = runtime_->download(frames, target);
  slot.frames = target;
  slot.done = done;
  hand_over(slots_[next_]);
}

void FrameDelivery::finish() {
  hand_over(slots_[next_]);
  hand_over(slots_[1 - next_]);
}

void FrameDelivery::hand_over(Slot& slot) {
  if (!slot.frames) return;
  runtime_->wait(slot.ticket);
  const ConstTensorView frames = std::exchange(slot.frames, {});
  sink_(frames, slot.done);
}

}  // namespace psagen::engine
