#include "kernels/core/allocator.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "kernels/core/error.h"
#include "kernels/core/tensor.h"

namespace psagen {
namespace {

TEST(CpuAllocatorTest, AlignsAndCounts) {
  CpuAllocator allocator;
  void* a = allocator.allocate(1);
  void* b = allocator.allocate(1000);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(a) % 64, 0u);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(b) % 64, 0u);
  EXPECT_EQ(allocator.bytes_in_use(), 1001u);
  allocator.deallocate(a, 1);
  EXPECT_EQ(allocator.bytes_in_use(), 1000u);
  allocator.deallocate(b, 1000);
  EXPECT_EQ(allocator.bytes_in_use(), 0u);
  EXPECT_EQ(allocator.peak_bytes(), 1001u);
}

TEST(CpuAllocatorTest, NothingAtAllIsAValidRequest) {
  CpuAllocator allocator;
  void* pointer = allocator.allocate(0);
  EXPECT_NE(pointer, nullptr);
  allocator.deallocate(pointer, 0);
}

TEST(CpuAllocatorTest, TooMuchSaysHowMuch) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer's allocator ends the program instead";
#endif
  CpuAllocator allocator;
  try {
    allocator.allocate(std::size_t{1} << 60);
    FAIL() << "an exabyte was given";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kOutOfMemory);
    EXPECT_NE(error.message().find("1152921504606846976"), std::string::npos) << error.message();
  }
  EXPECT_EQ(allocator.bytes_in_use(), 0u);
}

TEST(LentMemoryTest, WhatIsCountedIsEnoughWhereverItBegins) {
  const auto take = [](LentMemory& memory) {
    const Tensor kept(memory, DType::kF32, {65});
    Workspace workspace(memory);
    {
      Workspace::Scope first(workspace);
      EXPECT_EQ(first.counts_only(), memory.counts_only());
      first.take<std::byte>(1000);
    }
    Workspace::Scope second(workspace);
    return second.take<std::byte>(10) - kept.view().bytes();
  };
  LentMemory counted(Device{});
  EXPECT_EQ(counted.wanted_bytes(), 0u);
  EXPECT_EQ(take(counted), 512);
  EXPECT_EQ(counted.wanted_bytes(), 512u + 1024u + 255u);

  std::vector<std::byte> bytes(counted.wanted_bytes() + 7);
  LentMemory memory(Device{}, bytes.data() + 7, counted.wanted_bytes());
  EXPECT_EQ(take(memory), 512);
  LentMemory aligned(Device{}, memory.allocate(0), 511);
  EXPECT_THROW(take(aligned), Error);
}

class WorkspaceTest : public testing::Test {
 protected:
  CpuAllocator allocator_;
  Workspace workspace_{allocator_};
};

TEST_F(WorkspaceTest, PiecesAreAlignedAndApart) {
  Workspace::Scope scope(workspace_);
  float* a = scope.take<float>(3);
  float* b = scope.take<float>(5);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(a) % 64, 0u);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(b) % 64, 0u);
  EXPECT_GE(b, a + 3);
}

TEST_F(WorkspaceTest, InnerScopesGiveBackOnlyTheirOwn) {
  Workspace::Scope outer(workspace_);
  float* kept = outer.take<float>(100);
  kept[99] = 7.0f;
  float* first = nullptr;
  {
    Workspace::Scope inner(workspace_);
    first = inner.take<float>(1000);
    std::memset(first, 0, 4000);
  }
  Workspace::Scope inner(workspace_);
  EXPECT_EQ(inner.take<float>(1000), first);
  EXPECT_EQ(kept[99], 7.0f);
}

// Growing must not move what is in use.
TEST_F(WorkspaceTest, GrowthLeavesPiecesWhereTheyAre) {
  Workspace::Scope scope(workspace_);
  std::vector<int*> pieces;
  for (int i = 0; i < 40; ++i) {
    pieces.push_back(scope.take<int>(100000));
    pieces.back()[0] = pieces.back()[99999] = i;
  }
  for (int i = 0; i < 40; ++i) {
    EXPECT_EQ(pieces[static_cast<std::size_t>(i)][0], i);
    EXPECT_EQ(pieces[static_cast<std::size_t>(i)][99999], i);
  }
}

TEST_F(WorkspaceTest, AllocatesNothingOnceWarm) {
  const auto step = [&] {
    Workspace::Scope scope(workspace_);
    scope.take<std::byte>(3 << 20);
    for (int i = 0; i < 3; ++i) {
      Workspace::Scope inner(workspace_);
      inner.take<std::byte>((5 + static_cast<std::size_t>(i)) << 20);
    }
  };
  step();
  step();  // the chunks of the first step have become one
  const std::size_t capacity = workspace_.capacity(), peak = allocator_.peak_bytes();
  for (int i = 0; i < 5; ++i) step();
  EXPECT_EQ(workspace_.capacity(), capacity);
  EXPECT_EQ(allocator_.bytes_in_use(), capacity);
  EXPECT_EQ(allocator_.peak_bytes(), peak);
}

TEST_F(WorkspaceTest, TrimGivesEverythingBack) {
  {
    Workspace::Scope scope(workspace_);
    scope.take<std::byte>(4 << 20);
  }
  EXPECT_GE(workspace_.capacity(), std::size_t{4} << 20);
  workspace_.trim();
  EXPECT_EQ(workspace_.capacity(), 0u);
  EXPECT_EQ(allocator_.bytes_in_use(), 0u);
  Workspace::Scope scope(workspace_);
  EXPECT_NE(scope.take<std::byte>(10), nullptr);
}

}  // namespace
}  // namespace psagen
