#include "engine/nn/causal_conv3d.h"

#include "kernels/core/error.h"

namespace psagen::engine {
namespace {

// Shifts `frames` left by the frames of x that came in and appends those.
void keep_last_frames(kernels::Ops& ops, ConstTensorView x, CausalConv3d::Context& context) {
  TensorView frames = context.frames.view();
  const std::int64_t kept = frames.dim(0);
  const std::int64_t arrived = x.dim(0);
  for (std::int64_t i = 0; i < kept - arrived; ++i) {
    const TensorView target = frames.slice(0, i, i + 1);
    if (context.empty) {
      // Before the clip: zero times a frame that is at hand, whatever device it is on.
      const kernels::LinearTerm nothing{0.0, x.slice(0, 0, 1)};
      ops.linear_combination({&nothing, 1}, target);
    } else {
      ops.copy(frames.slice(0, i + arrived, i + arrived + 1), target);
    }
  }
  const std::int64_t taken = arrived < kept ? arrived : kept;
  ops.copy(x.slice(0, arrived - taken, arrived), frames.slice(0, kept - taken, kept));
  context.empty = false;
}

}  // namespace

FrameConv::FrameConv(std::int64_t in, std::int64_t out, std::int64_t kernel, const Weights& weights,
                     kernels::Ops& ops, Sampling sampling)
    : sampling_(sampling) {
  const Parameter weight = weights.get({out, in, kernel, kernel}, "weight");
  const Parameter bias = weights.get({out}, "bias");
  packed_ = ops.pack_conv3d(
      {.weight = weight.view().reshape({out, in, 1, kernel, kernel}), .bias = bias});
}

void FrameConv::operator()(kernels::Ops& ops, ConstTensorView x, TensorView y,
                           ConstTensorView residual) const {
  ops.conv3d({.x = x,
              .weights = packed_.get(),
              .upsample = sampling_ == Sampling::kDouble,
              .residual = residual,
              .y = y});
}

CausalConv3d::CausalConv3d(std::int64_t in, std::int64_t out, Kernel kernel, const Weights& weights,
                           kernels::Ops& ops) {
  const Parameter weight =
      weights.get({out, in, kernel.time, kernel.space, kernel.space}, "weight");
  const Parameter bias = weights.get({out}, "bias");
  packed_ = ops.pack_conv3d({.weight = weight, .bias = bias});
}

CausalConv3d::CausalConv3d(ConstTensorView weight, ConstTensorView bias, kernels::Ops& ops)
    : packed_(ops.pack_conv3d({.weight = weight, .bias = bias})) {}

CausalConv3d::Context CausalConv3d::make_context(Allocator& allocator, std::int64_t height,
                                                 std::int64_t width) const {
  Context context;
  context.frames =
      Tensor(allocator, DType::kF32, {packed_->kernel_t - 1, height, width, packed_->in_channels});
  return context;
}

void CausalConv3d::operator()(kernels::Ops& ops, ConstTensorView x, Context& context, TensorView y,
                              ConstTensorView residual) const {
  ConstTensorView before;
  if (!context.empty) before = context.frames;
  ops.conv3d({.x = x, .context = before, .weights = packed_.get(), .residual = residual, .y = y});
  keep_last_frames(ops, x, context);
}

void CausalConv3d::operator()(kernels::Ops& ops, ConstTensorView x, TensorView y) const {
  PSAGEN_ASSERT(packed_->kernel_t == 1);
  ops.conv3d({.x = x, .weights = packed_.get(), .y = y});
}

}  // namespace psagen::engine
