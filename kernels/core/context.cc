#include "kernels/core/context.h"

#include <sched.h>

#include <algorithm>

#include "kernels/core/error.h"

namespace psagen {
namespace {

// The CPUs this process may run on; OpenMP would count those of the whole machine.
int available_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

}  // namespace

Context::Context(const ContextOptions& options) : options_(options) {
  PSAGEN_CHECK(options.num_threads >= 0, ErrorCode::kInvalidArgument,
               "the number of threads must be positive, not ", options.num_threads);
  PSAGEN_CHECK(options.device.kind == DeviceKind::kCpu, ErrorCode::kDevice,
               "the CUDA back end is not part of this build");
  if (options_.num_threads == 0) options_.num_threads = available_cpus();
  allocator_ = std::make_unique<CpuAllocator>();
  workspace_ = std::make_unique<Workspace>(*allocator_);
}

}  // namespace psagen
