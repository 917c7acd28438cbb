#include "engine/pipeline/health.h"

namespace psagen::engine {
namespace {

std::int32_t counted(kernels::Ops& ops, ConstTensorView x) {
  std::int32_t value = 0;
  const TensorView host(reinterpret_cast<std::byte*>(&value), DType::kI32, {1}, Device{});
  if (ops.context().runtime() == nullptr) {
    ops.count_nonfinite(x, host);
    return value;
  }
  Tensor counter(ops.context().allocator(), DType::kI32, {1});
  ops.copy(host, counter);
  ops.count_nonfinite(x, counter);
  ops.copy(counter, host);
  return value;
}

}  // namespace

bool is_finite(kernels::Ops& ops, ConstTensorView x) { return counted(ops, x) == 0; }

void expect_finite(kernels::Ops& ops, ConstTensorView x, const std::string& what) {
  const std::int32_t count = counted(ops, x);
  PSAGEN_CHECK(count == 0, ErrorCode::kNumeric, what, " has ", count, " values of ",
               x.num_elements(), " that are NaN or infinite");
}

LayerHealth::LayerHealth(Context& context, ConstTensorView counters)
    : runtime_(context.runtime()), counters_(counters) {
  if (runtime_ == nullptr) return;
  for (Tensor& copy : copies_)
    copy = Tensor(runtime_->pinned_allocator(), DType::kI32, counters.shape());
}

std::uint64_t LayerHealth::fetch(std::int64_t step) {
  if (runtime_ == nullptr) return 0;
  return runtime_->download(counters_, copies_[static_cast<std::size_t>(step % kSteps)]);
}

void LayerHealth::check(std::int64_t step, std::int64_t num_steps) const {
  const ConstTensorView view = runtime_ == nullptr ? counters_ : copy_of(step).view();
  const std::int32_t* const counts = view.data<std::int32_t>();
  const std::int64_t layers = view.dim(0) - 1;
  for (std::int64_t i = 0; i <= layers; ++i) {
    if (counts[i] == 0) continue;
    const std::string place =
        i < layers ? concat("in layer ", i + 1, " of ", layers) : std::string("in the output");
    throw Error(ErrorCode::kNumeric, concat("step ", step + 1, " of ", num_steps,
                                            ": there are values that are NaN or infinite, first ",
                                            place, " of the transformer"));
  }
}

}  // namespace psagen::engine
