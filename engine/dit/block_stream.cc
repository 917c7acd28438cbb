#include "engine/dit/block_stream.h"

#include "kernels/core/error.h"

namespace psagen::engine {

// Gives out its memory piece by piece; pieces are never given back, the whole is taken anew.
class BlockStream::Slot final : public Allocator {
 public:
  Slot(Allocator& memory, std::size_t bytes)
      : memory_(memory, DType::kU8, {static_cast<std::int64_t>(bytes)}) {}

  Device device() const override { return memory_.view().device(); }

  void* allocate(std::size_t bytes) override {
    const std::size_t begin = used_;
    used_ += (bytes + kWeightAlignment - 1) / kWeightAlignment * kWeightAlignment;
    PSAGEN_CHECK(used_ <= memory_.view().num_bytes(), ErrorCode::kInternal,
                 "a block's weights take more than ", memory_.view().num_bytes(), " bytes");
    return memory_.view().bytes() + begin;
  }

  void deallocate(void*, std::size_t) noexcept override {}

  void start_anew() { used_ = 0; }
  TensorView used() { return memory_.view().slice(0, 0, static_cast<std::int64_t>(used_)); }
  TensorView front(std::int64_t bytes) { return memory_.view().slice(0, 0, bytes); }

 private:
  Tensor memory_;
  std::size_t used_ = 0;
};

BlockStream::BlockStream(Context& context, std::int64_t num_blocks, std::size_t block_bytes)
    : runtime_(*context.runtime()), blocks_(static_cast<std::size_t>(num_blocks)) {
  for (std::unique_ptr<Slot>& slot : slots_)
    slot = std::make_unique<Slot>(context.allocator(), block_bytes);
}

BlockStream::~BlockStream() = default;

Allocator& BlockStream::place(std::int64_t index) {
  Slot& slot = *slots_[static_cast<std::size_t>(index % 2)];
  slot.start_anew();
  return slot;
}

void BlockStream::keep(std::int64_t index) {
  const std::size_t side = static_cast<std::size_t>(index % 2);
  const TensorView weights = slots_[side]->used();
  Block& block = blocks_[static_cast<std::size_t>(index)];
  block.host = Tensor(runtime_.pinned_allocator(), DType::kU8, weights.shape());
  runtime_.wait(runtime_.download(weights, block.host));
  in_slot_[side] = index;
}

void BlockStream::fetch(std::int64_t index) {
  const std::size_t side = static_cast<std::size_t>(index % 2);
  if (in_slot_[side] == index) return;
  Block& block = blocks_[static_cast<std::size_t>(index)];
  block.arrival =
      runtime_.prefetch(block.host, slots_[side]->front(block.host.shape().num_elements()));
  in_slot_[side] = index;
}

void BlockStream::enter(std::int64_t index) {
  fetch(index);  // at the very first forward only; later it is on its way or there
  runtime_.await_prefetch(blocks_[static_cast<std::size_t>(index)].arrival);
}

// The slot's next user: two blocks on, or at the end of a forward the one of the same slot that the
// next forward begins with.
void BlockStream::leave(std::int64_t index) {
  const std::int64_t count = static_cast<std::int64_t>(blocks_.size());
  const std::int64_t next = index + 2 < count ? index + 2 : index % 2;
  if (next < count) fetch(next);
}

}  // namespace psagen::engine
