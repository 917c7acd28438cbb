#include "kernels/core/context.h"

#include <sched.h>

#include <algorithm>
#include <utility>

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

Context::Context(const ContextOptions& options, std::unique_ptr<DeviceRuntime> runtime)
    : options_(options), runtime_(std::move(runtime)) {
  PSAGEN_CHECK(options.num_threads >= 0, ErrorCode::kInvalidArgument,
               "the number of threads must be positive, not ", options.num_threads);
  const bool is_cpu = options.device.kind == DeviceKind::kCpu;
  PSAGEN_CHECK(is_cpu == (runtime_ == nullptr), ErrorCode::kInternal,
               "a GPU's context is made by make_context");
  PSAGEN_CHECK(!is_cpu || options.compute_dtype == DType::kF32, ErrorCode::kUnsupported,
               "the CPU computes in F32, not in ", dtype_name(options.compute_dtype));
  if (options_.num_threads == 0) options_.num_threads = available_cpus();
  if (is_cpu) cpu_allocator_ = std::make_unique<CpuAllocator>();
  allocator_ = is_cpu ? cpu_allocator_.get() : &runtime_->allocator();
  workspace_ = std::make_unique<Workspace>(*allocator_);
  if (!is_cpu) profiler_.set_marker(runtime_->range_marker());
}

Context::~Context() = default;

Context::Loan::Loan(Context& context, LentMemory& memory)
    : context_(context),
      allocator_(std::exchange(context.allocator_, &memory)),
      workspace_(std::exchange(context.workspace_, std::make_unique<Workspace>(memory))) {}

Context::Loan::~Loan() {
  context_.allocator_ = allocator_;
  context_.workspace_ = std::move(workspace_);
}

}  // namespace psagen
