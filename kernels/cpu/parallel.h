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

// The OpenMP threads oneDNN will use when called from this thread. The setting belongs to the
// calling thread, so every op that calls oneDNN makes it anew.
void set_library_threads(const Context& context);

// Number of the calling thread inside a parallel loop, from 0.
int thread_index();

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
