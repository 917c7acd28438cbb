#include "kernels/cpu/parallel.h"

#include <omp.h>

namespace psagen::kernels::cpu {

LibraryThreads::LibraryThreads(int count) : previous_(omp_get_max_threads()) {
  omp_set_num_threads(count);
}

LibraryThreads::~LibraryThreads() { omp_set_num_threads(previous_); }

int thread_index() { return omp_get_thread_num(); }

}  // namespace psagen::kernels::cpu
