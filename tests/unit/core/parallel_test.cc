#include "kernels/cpu/parallel.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <vector>

namespace psagen::kernels::cpu {
namespace {

TEST(ParallelTest, EveryIndexOnceAndPiecesCutByTheGrain) {
  for (const int threads : {1, 2, 5}) {
    const Context context({.device = {}, .num_threads = threads});
    for (const std::int64_t count : {0, 1, 7, 100}) {
      std::vector<int> seen(static_cast<std::size_t>(count));
      parallel_for(context, count, 8, [&](std::int64_t begin, std::int64_t end) {
        EXPECT_EQ(begin % 8, 0);
        EXPECT_LE(end - begin, 8);
        EXPECT_LT(thread_index(), threads);
        for (std::int64_t i = begin; i < end; ++i) ++seen[static_cast<std::size_t>(i)];
      });
      for (const int times : seen) EXPECT_EQ(times, 1);
    }
  }
}

TEST(ParallelTest, LibraryThreadsAreRestored) {
  const int before = omp_get_max_threads();
  {
    const LibraryThreads three(3);
    EXPECT_EQ(omp_get_max_threads(), 3);
    const LibraryThreads one(1);
    EXPECT_EQ(omp_get_max_threads(), 1);
  }
  EXPECT_EQ(omp_get_max_threads(), before);
}

TEST(ParallelTest, WideRowsMakePiecesOfOneRow) {
  EXPECT_EQ(row_grain(1 << 20), 1);
  EXPECT_EQ(row_grain(0), kElementGrain);
  EXPECT_EQ(row_grain(64), kElementGrain / 64);
}

}  // namespace
}  // namespace psagen::kernels::cpu
