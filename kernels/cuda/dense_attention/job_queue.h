// Who works on what in a kernel whose blocks of threads stay: each takes numbers from a counter. A
// number is a job, a block of queries of one head. Where jobs do not divide among the
// multiprocessors, the last ones are taken in parts, each some of a job's tiles: 3,072 jobs on 132
// multiprocessors are 23 rounds and a third of one, not 24. Whoever is done last with a job adds
// its parts up, always in the same order, so results are the same bits on every run.
#pragma once

#include <cuda_runtime.h>

#include "kernels/core/allocator.h"
#include "kernels/cuda/runtime.h"

namespace psagen::kernels::cuda {

struct JobQueue {
  int* next = nullptr;     // the counter; zero at the start
  int whole = 0;           // the first jobs, which nobody shares
  int parts = 1;           // of each of the others
  int numbers = 0;         // whole + parts * others
  int* arrived = nullptr;  // [others, warpgroups]: parts that are done; zero at the start
  // [others * parts, warpgroups, vectors, 128 threads]: what a part has come to
  float4* sums = nullptr;

  __host__ __device__ int job(int number) const {
    return number < whole ? number : whole + (number - whole) / parts;
  }
  // The number of a part among all parts; -1: the whole job.
  __host__ __device__ int piece(int number) const { return number < whole ? -1 : number - whole; }
};

// A job as the loading side announces it.
struct AnnouncedJob {
  int row;         // query block of a head of a batch; -1: no more jobs
  int first, end;  // its tiles
  int piece;

  __device__ static AnnouncedJob none() { return {-1, 0, 0, -1}; }
  // `tiles`: of the whole job.
  __device__ AnnouncedJob(int row, int tiles, const JobQueue& queue, int number)
      : row(row), first(0), end(tiles), piece(queue.piece(number)) {
    if (piece < 0) return;
    const int part = piece % queue.parts;
    first = tiles * part / queue.parts;
    end = tiles * (part + 1) / queue.parts;
  }

  AnnouncedJob() = default;

 private:
  __device__ AnnouncedJob(int row, int first, int end, int piece)
      : row(row), first(first), end(end), piece(piece) {}
};

// For `jobs` jobs of about `tiles` tiles, by blocks of two warpgroups whose threads keep
// `vectors` x 4 numbers each. Queues what sets the counters to zero, unless only counting memory.
JobQueue make_job_queue(CudaRuntime& runtime, Workspace::Scope& scope, int jobs, int tiles,
                        int vectors);

}  // namespace psagen::kernels::cuda
