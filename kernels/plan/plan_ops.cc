#include "kernels/plan/plan_ops.h"

#include <cstring>

namespace psagen::kernels {
namespace {

class PlannedConv3d final : public PackedConv3d {
 public:
  Tensor filters, bias;
};

}  // namespace

std::unique_ptr<PackedConv3d> PlanOps::do_pack_conv3d(const PackConv3dArgs& args) {
  constexpr std::int64_t kChannelStep = 8;
  Allocator& allocator = context().allocator();
  const Shape& shape = args.weight.shape();
  const std::int64_t stored = (shape[1] + kChannelStep - 1) / kChannelStep * kChannelStep;
  auto packed = std::make_unique<PlannedConv3d>();
  packed->out_channels = shape[0];
  packed->in_channels = shape[1];
  packed->kernel_t = shape[2];
  packed->kernel_h = shape[3];
  packed->kernel_w = shape[4];
  packed->filters = Tensor(allocator, context().compute_dtype(),
                           {shape[0], shape[2], shape[3], shape[4], stored});
  packed->bias = Tensor(allocator, DType::kF32, {2, shape[0]});  // and its rounded copy
  return packed;
}

void PlanOps::do_linear(const LinearArgs& args) {
  flops_ += 2.0 * static_cast<double>(args.y.num_elements() * args.weight.dim(1));
}

void PlanOps::do_attention(const AttentionArgs& args) {
  flops_ += 4.0 * static_cast<double>(args.out.num_elements() * args.k.dim(1));
}

void PlanOps::do_conv3d(const Conv3dArgs& args) {
  const PackedConv3d& w = *args.weights;
  flops_ += 2.0 * static_cast<double>(args.y.num_elements() * w.in_channels * w.kernel_t *
                                      w.kernel_h * w.kernel_w);
}

// What the program reads of a copy to the host is zero.
void PlanOps::do_copy(ConstTensorView, TensorView y) {
  if (y.device().kind == DeviceKind::kCpu) std::memset(y.bytes(), 0, y.num_bytes());
}

}  // namespace psagen::kernels
