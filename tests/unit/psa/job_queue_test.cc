// The order of jobs of the Hopper kernels, on the host.
#include "kernels/cuda/dense_attention/job_queue.h"

#include <gtest/gtest.h>

#include <vector>

namespace psagen::kernels::cuda {
namespace {

// Every tile of every job is taken once, and parts of a job are numbered as its sums lie in memory.
void expect_all_taken_once(const JobQueue& queue, int jobs, int tiles) {
  std::vector<int> taken(static_cast<std::size_t>(jobs), 0);
  for (int number = 0; number < queue.numbers; ++number) {
    const int job = queue.job(number);
    ASSERT_GE(job, 0);
    ASSERT_LT(job, jobs);
    const AnnouncedJob announced = announced_job(queue, number, 1000 + job, tiles);
    EXPECT_EQ(announced.row, 1000 + job);
    EXPECT_EQ(announced.first, taken[static_cast<std::size_t>(job)]) << "job " << job;
    EXPECT_LE(announced.first, announced.end);
    taken[static_cast<std::size_t>(job)] = announced.end;
    if (job < queue.whole) {
      EXPECT_EQ(announced.piece, -1);
    } else {
      EXPECT_EQ(announced.piece / queue.parts, job - queue.whole);
      EXPECT_LT(announced.piece, queue.others() * queue.parts);
    }
  }
  for (const int end : taken) EXPECT_EQ(end, tiles);
}

TEST(JobQueue, TakesEveryTileOnce) {
  for (const int multiprocessors : {1, 2, 108, 132})
    for (const int jobs : {1, 2, 44, 131, 132, 133, 265, 3072, 23640})
      for (const int tiles : {1, 23, 24, 26, 256, 591}) {
        SCOPED_TRACE(::testing::Message()
                     << jobs << " jobs of " << tiles << " tiles on " << multiprocessors);
        const JobQueue queue = plan_jobs(jobs, multiprocessors, tiles);
        expect_all_taken_once(queue, jobs, tiles);
        // A sparse row may have fewer tiles than was thought, even none.
        for (const int fewer : {0, 1, 2, 3}) expect_all_taken_once(queue, jobs, fewer);
      }
}

TEST(JobQueue, PartsFillTheLastRound) {
  const JobQueue queue = plan_jobs(3072, 132, 256);
  EXPECT_EQ(queue.whole, 23 * 132);
  EXPECT_EQ(queue.parts, 3);
  EXPECT_EQ(queue.others(), 36);
  EXPECT_LE(queue.others() * queue.parts, 132);
  EXPECT_EQ(plan_jobs(3072, 132, 23).parts, 1) << "parts of a few tiles are not worth it";
  EXPECT_EQ(plan_jobs(132 * 7, 132, 256).parts, 1) << "whole rounds";
  EXPECT_EQ(plan_jobs(100, 132, 256).parts, 1) << "two parts each would be two rounds";
  EXPECT_EQ(plan_jobs(3072, 132, 256, true).whole, 3072) << "deterministic";
}

}  // namespace
}  // namespace psagen::kernels::cuda
