#include "kernels/cpu/parallel.h"

#include <omp.h>

namespace psagen::kernels::cpu {

void set_library_threads(const Context& context) { omp_set_num_threads(context.num_threads()); }

int thread_index() { return omp_get_thread_num(); }

}  // namespace psagen::kernels::cpu
