// Who works on what in a kernel whose blocks of threads stay: each takes numbers from a counter. A
// number is a job, a block of queries of one head. Where jobs do not divide among the
// multiprocessors, the last ones are taken in parts, each some of a job's tiles: 3,072 jobs on 132
// multiprocessors are 23 rounds and a third of one, not 24. Whoever is done last with a job adds
// its parts up, always in the same order (job_parts.cuh), so results are the same bits on every
// run, and with ContextOptions::deterministic on every number of multiprocessors. Plain numbers,
// the same on host and device.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/core/allocator.h"

namespace psagen::kernels::cuda {

class CudaRuntime;

inline constexpr int kFusedWarpgroups = 2;  // of a block of threads, that compute

// What a thread of a warpgroup keeps of its share of 64 queries, in fours: sums of values, and of
// two rows the maximum and the sum of exponentials.
constexpr int part_vectors(int head_dim) { return head_dim / 8 + 1; }

struct JobQueue {
  int whole = 0;    // the first jobs, which nobody shares
  int parts = 1;    // of each of the others
  int numbers = 0;  // whole + parts * others

  int* next = nullptr;     // the counter; zero at the start
  int* arrived = nullptr;  // [others, warpgroups]: parts that are done; zero at the start
  // [others * parts, warpgroups, part_vectors(), 128 threads, 4]: what a part has come to
  float* sums = nullptr;
  int* besides = nullptr;  // counters of the caller's; zero at the start

  constexpr int others() const { return (numbers - whole) / parts; }
  constexpr int job(int number) const {
    return number < whole ? number : whole + (number - whole) / parts;
  }
  // The number of a part among all parts; -1: the whole job.
  constexpr int piece(int number) const { return number < whole ? -1 : number - whole; }
};

// How `jobs` jobs of about `tiles` tiles are taken. In parts only where they are long: a part costs
// about two tiles more than its share. Never with `keep_whole`: which jobs are in parts is what
// depends on the number of multiprocessors.
constexpr JobQueue plan_jobs(int jobs, int multiprocessors, int tiles, bool keep_whole = false) {
  constexpr int kMostParts = 4, kLeastTilesOfPart = 6;
  JobQueue queue;
  int others = keep_whole ? 0 : jobs % multiprocessors;
  if (others > 0 && tiles >= kMostParts * kLeastTilesOfPart)
    queue.parts = std::clamp(multiprocessors / others, 1, kMostParts);
  if (queue.parts == 1) others = 0;
  queue.whole = jobs - others;
  queue.numbers = queue.whole + queue.parts * others;
  return queue;
}

// A job, or a part of one, as the loading side announces it.
struct AnnouncedJob {
  int row = -1;            // query block of a head of a batch; -1: no more jobs
  int first = 0, end = 0;  // its tiles
  int piece = -1;
};

// `tiles`: of the whole job.
constexpr AnnouncedJob announced_job(const JobQueue& queue, int number, int row, int tiles) {
  const int piece = queue.piece(number);
  if (piece < 0) return {row, 0, tiles, -1};
  const int part = piece % queue.parts;
  return {row, tiles * part / queue.parts, tiles * (part + 1) / queue.parts, piece};
}

// plan_jobs() for this GPU, with memory from `scope`, also for `besides` counters more. Queues what
// sets the counters to zero, unless memory is only counted.
JobQueue make_job_queue(CudaRuntime& runtime, Workspace::Scope& scope, int jobs, int tiles,
                        int head_dim, int besides = 0);

}  // namespace psagen::kernels::cuda
