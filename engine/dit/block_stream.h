// Blocks of a transformer that a GPU's memory does not hold all at once. Their weights wait in
// page-locked host memory; two slots on the device take turns, so that a block's weights arrive
// while the block before it computes. Results do not change.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/weights/weights.h"
#include "kernels/core/context.h"

namespace psagen::engine {

class BlockStream {
 public:
  // For `num_blocks` blocks, each of at most `block_bytes` on the device. The context needs a
  // runtime.
  BlockStream(Context& context, std::int64_t num_blocks, std::size_t block_bytes);
  ~BlockStream();

  std::int64_t num_blocks() const { return static_cast<std::int64_t>(blocks_.size()); }

  // Where block `index` gets its tensors: memory of its slot, given out anew from the start.
  Allocator& place(std::int64_t index);
  // Block `index` has been built: takes its weights to host memory, for the slot to be used again.
  void keep(std::int64_t index);

  // Around the work of each block, in order, forward after forward.
  void enter(std::int64_t index);
  void leave(std::int64_t index);

 private:
  class Slot;
  struct Block {
    Tensor host;  // [bytes] page-locked
    std::uint64_t arrival = 0;
  };
  void fetch(std::int64_t index);

  DeviceRuntime& runtime_;
  std::array<std::unique_ptr<Slot>, 2> slots_;
  std::array<std::int64_t, 2> in_slot_ = {-1, -1};  // which block, arrived or on its way
  std::vector<Block> blocks_;
};

}  // namespace psagen::engine
