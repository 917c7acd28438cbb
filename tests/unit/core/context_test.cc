#include "kernels/core/context.h"

#include <gtest/gtest.h>

#include <cstring>

#include "kernels/backend.h"
#include "kernels/core/error.h"

namespace psagen {
namespace {

TEST(ContextTest, TakesTheThreadsItIsGivenOrWhatThereIs) {
  EXPECT_EQ(Context({.device = {}, .num_threads = 3}).num_threads(), 3);
  EXPECT_GE(Context().num_threads(), 1);
}

TEST(ContextTest, RefusesANegativeNumberOfThreads) {
  try {
    Context context({.device = {}, .num_threads = -2});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_NE(error.message().find("-2"), std::string::npos) << error.message();
  }
}

TEST(ContextTest, MemoryIsCounted) {
  Context context;
  {
    Workspace::Scope scope(context.workspace());
    scope.take<float>(10);
    EXPECT_GT(context.allocator().bytes_in_use(), 0u);
  }
  context.workspace().trim();
  EXPECT_EQ(context.allocator().bytes_in_use(), 0u);
}

TEST(ProfilerTest, CountsCallsOfEachZone) {
  Context context;
  const auto ops = kernels::make_ops(context);
  Tensor x(context.allocator(), DType::kF32, {4});
  std::memset(x.view().bytes(), 0, x.view().num_bytes());
  for (int i = 0; i < 3; ++i) ops->activate(x, kernels::Activation::kSilu, x);
  EXPECT_EQ(context.profiler().entry(Zone::kElementwise).calls, 3);
  EXPECT_GT(context.profiler().entry(Zone::kElementwise).seconds, 0.0);
  EXPECT_EQ(context.profiler().entry(Zone::kLinear).calls, 0);
  context.profiler().reset();
  EXPECT_EQ(context.profiler().entry(Zone::kElementwise).calls, 0);
}

TEST(ProfilerTest, ZoneNamesAreSortedAndAllDifferent) {
  for (int i = 1; i < static_cast<int>(Zone::kCount); ++i)
    EXPECT_LT(std::strcmp(zone_name(static_cast<Zone>(i - 1)), zone_name(static_cast<Zone>(i))), 0);
}

}  // namespace
}  // namespace psagen
