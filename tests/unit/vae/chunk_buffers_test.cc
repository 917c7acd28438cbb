#include "engine/vae/chunk_buffers.h"

#include <gtest/gtest.h>

namespace psagen::engine {
namespace {

TEST(ChunkBuffers, TheActivationIsNeverAmongTheSpares) {
  CpuAllocator allocator;
  ChunkBuffers buffers(allocator, 24);
  for (int turn = 0; turn < 12; ++turn) {
    const TensorView next =
        turn % 3 == 0 ? buffers.second_spare({2, 3, 4}) : buffers.first_spare({1, 2, 3, 2});
    buffers.set_x(next);
    EXPECT_EQ(buffers.x().bytes(), next.bytes());
    EXPECT_EQ(buffers.x().shape(), next.shape());
    const auto* const first = buffers.first_spare({24}).bytes();
    const auto* const second = buffers.second_spare({24}).bytes();
    EXPECT_NE(first, second);
    EXPECT_NE(first, next.bytes());
    EXPECT_NE(second, next.bytes());
  }
}

TEST(ChunkBuffers, TakesItsMemoryOnce) {
  CpuAllocator allocator;
  ChunkBuffers buffers(allocator, 24);
  const std::size_t in_use = allocator.bytes_in_use();
  EXPECT_GE(in_use, 3 * 24 * sizeof(float));
  buffers.set_x(buffers.first_spare({24}));
  buffers.set_x(buffers.second_spare({12}));
  EXPECT_EQ(allocator.bytes_in_use(), in_use);
}

TEST(ChunkBuffers, RefusesMoreThanItsCapacity) {
  CpuAllocator allocator;
  ChunkBuffers buffers(allocator, 24);
  EXPECT_THROW(buffers.first_spare({25}), Error);
}

}  // namespace
}  // namespace psagen::engine
