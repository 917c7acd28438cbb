#include "engine/nn/causal_conv3d.h"

#include "kernels/core/error.h"

namespace psagen::engine {
namespace {

Tensor zero_on_device(kernels::Ops& ops) {
  float zero = 0.0f;
  Tensor result(ops.context().allocator(), ops.context().compute_dtype(), {1});
  ops.copy(ConstTensorView(reinterpret_cast<const std::byte*>(&zero), DType::kF32, {1}, Device{}),
           result);
  return result;
}

// One element seen as a tensor of any shape.
ConstTensorView repeated(const ConstTensorView& element, const Shape& shape) {
  return {element.bytes(), element.dtype(), shape, Strides{}, element.device()};
}

}  // namespace

FrameConv::FrameConv(std::int64_t in, std::int64_t out, std::int64_t kernel, const Weights& weights,
                     kernels::Ops& ops, Sampling sampling)
    : sampling_(sampling) {
  // Doubling lets a back end add weights, which it does before it rounds.
  const Weights::Use use =
      sampling == Sampling::kDouble ? Weights::Use::kValues : Weights::Use::kProduct;
  const Parameter weight = weights.get({out, in, kernel, kernel}, "weight", use);
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
                           kernels::Ops& ops)
    : zero_(zero_on_device(ops)) {
  const Parameter weight =
      weights.get({out, in, kernel.time, kernel.space, kernel.space}, "weight");
  const Parameter bias = weights.get({out}, "bias");
  packed_ = ops.pack_conv3d({.weight = weight, .bias = bias});
}

CausalConv3d::CausalConv3d(ConstTensorView weight, ConstTensorView bias, kernels::Ops& ops)
    : packed_(ops.pack_conv3d({.weight = weight, .bias = bias})), zero_(zero_on_device(ops)) {}

CausalConv3d::Context CausalConv3d::make_context(Allocator& allocator, std::int64_t height,
                                                 std::int64_t width) const {
  Context context;
  context.frames = Tensor(allocator, zero_.view().dtype(),
                          {packed_->kernel_t - 1, height, width, packed_->in_channels});
  return context;
}

void CausalConv3d::operator()(kernels::Ops& ops, ConstTensorView x, Context& context, TensorView y,
                              ConstTensorView residual, TensorView lead) const {
  ConstTensorView before;
  if (context.empty) {
    lead = {};
  } else if (lead) {
    ops.copy(context.frames, lead);
    before = lead;
  } else {
    before = context.frames;
  }
  ops.conv3d({.x = x, .context = before, .weights = packed_.get(), .residual = residual, .y = y});
  keep_last_frames(ops, x, lead, context);
}

void CausalConv3d::operator()(kernels::Ops& ops, ConstTensorView x, TensorView y) const {
  PSAGEN_ASSERT(packed_->kernel_t == 1);
  ops.conv3d({.x = x, .weights = packed_.get(), .y = y});
}

// The last of the frames before x, which `lead` holds where it is given, and of x.
void CausalConv3d::keep_last_frames(kernels::Ops& ops, ConstTensorView x, TensorView lead,
                                    Context& context) const {
  const TensorView frames = context.frames.view();
  const std::int64_t kept = frames.dim(0), arrived = x.dim(0);
  if (arrived >= kept) {
    ops.copy(x.slice(0, arrived - kept, arrived), frames);
  } else if (lead) {  // one piece with x
    ops.copy(ConstTensorView(lead.slice(0, arrived, kept).bytes(), lead.dtype(), frames.shape(),
                             lead.device()),
             frames);
  } else {
    const TensorView older = frames.slice(0, 0, kept - arrived);
    if (context.empty) {
      ops.copy(repeated(zero_, older.shape()), older);
    } else {  // source and target may overlap, a frame and itself do not
      for (std::int64_t i = 0; i < kept - arrived; ++i)
        ops.copy(frames.slice(0, i + arrived, i + arrived + 1), older.slice(0, i, i + 1));
    }
    ops.copy(x, frames.slice(0, kept - arrived, kept));
  }
  context.empty = false;
}

}  // namespace psagen::engine
