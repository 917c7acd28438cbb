// Loops over independent work, shared out among OpenMP threads (the same pool oneDNN uses).
//
// Pieces are cut by `grain` alone, never by the number of threads, and each is computed by one
// thread: that is why results do not depend on how many threads there are. Nothing may throw
// inside.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/core/context.h"

namespace psagen::kernels::cpu {

// How many threads oneDNN uses when called from this thread, while the object lives. The setting
// belongs to the calling thread, so every op that calls oneDNN makes it.
class LibraryThreads {
 public:
  explicit LibraryThreads(int count);
  ~LibraryThreads();
  LibraryThreads(const LibraryThreads&) = delete;
  LibraryThreads& operator=(const LibraryThreads&) = delete;

 private:
  int previous_;
};

// Number of the calling thread inside a parallel loop, from 0.
int thread_index();

// Elements that make a piece of work worth handing to a thread, and rows with as many.
inline constexpr std::int64_t kElementGrain = 16384;
inline std::int64_t row_grain(std::int64_t width) {
  return std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(width, 1));
}

// body(begin, end) over pieces of [0, count).
template <typename Body>
void parallel_for(const Context& context, std::int64_t count, std::int64_t grain,
                  const Body& body) {
  if (count <= 0) return;
  grain = std::max<std::int64_t>(grain, 1);
  const std::int64_t pieces = (count + grain - 1) / grain;
  const int threads = static_cast<int>(std::min<std::int64_t>(context.num_threads(), pieces));
  if (threads <= 1) {
    for (std::int64_t i = 0; i < pieces; ++i) body(i * grain, std::min(count, (i + 1) * grain));
    return;
  }
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
  for (std::int64_t i = 0; i < pieces; ++i) body(i * grain, std::min(count, (i + 1) * grain));
}

}  // namespace psagen::kernels::cpu
