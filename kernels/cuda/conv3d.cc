#include "kernels/cuda/conv3d.h"

#include "kernels/cuda/convolution_plans.h"
#include "kernels/cuda/implicit_conv3d.h"
#include "kernels/cuda/rearrange.h"

namespace psagen::kernels::cuda {
namespace {

class CudaPackedConv3d final : public PackedConv3d {
 public:
  Tensor filters;         // [Co, kt, k, k, stored channels]
  Tensor bias;            // float32
  Tensor rounded_bias;    // in the type of the filters, for cuDNN
  bool portable = false;  // kernels of our own only
};

// Whole 16 bytes of 16-bit elements.
std::int64_t stored_channels(std::int64_t channels) { return (channels + 7) / 8 * 8; }

ConvolutionProblem problem_of(const CudaPackedConv3d& packed, const Conv3dArgs& args,
                              ConstTensorView x, ConstTensorView context) {
  as_int(4 * x.dim(1) * x.dim(2));  // pixels of a doubled frame are counted in int
  ConvolutionProblem problem;
  problem.x = x.bytes();
  problem.context = context.bytes();
  problem.weight = packed.filters.view().bytes();
  problem.dtype = packed.filters.view().dtype();
  problem.bias = packed.bias.view().data<float>();
  problem.residual = reals(args.residual);
  problem.y = reals(args.y);
  problem.frames = as_int(x.dim(0));
  problem.height = as_int(x.dim(1));
  problem.width = as_int(x.dim(2));
  problem.in_channels = as_int(packed.in_channels);
  problem.out_channels = as_int(packed.out_channels);
  problem.stored_channels = as_int(packed.filters.shape()[-1]);
  problem.kernel_t = as_int(packed.kernel_t);
  problem.kernel_s = as_int(packed.kernel_h);
  problem.upsample = args.upsample;
  return problem;
}

}  // namespace

std::unique_ptr<PackedConv3d> pack_conv3d(CudaRuntime& runtime, Context& context,
                                          const PackConv3dArgs& args) {
  Allocator& allocator = runtime.allocator();
  const DType dtype = context.compute_dtype();
  const Shape& shape = args.weight.shape();
  const std::int64_t stored = stored_channels(shape[1]);
  auto packed = std::make_unique<CudaPackedConv3d>();
  packed->out_channels = shape[0];
  packed->in_channels = shape[1];
  packed->kernel_t = shape[2];
  packed->kernel_h = shape[3];
  packed->kernel_w = shape[4];
  packed->portable = context.options().portable_kernels;
  packed->filters = Tensor(allocator, dtype, {shape[0], shape[2], shape[3], shape[4], stored});
  pack_filters(runtime, args.weight, packed->filters);
  packed->bias = Tensor(allocator, DType::kF32, args.bias.shape());
  copy_on_device(runtime.stream(), args.bias, packed->bias);
  if (packed->portable || dtype == DType::kF32) return packed;
  packed->rounded_bias = Tensor(allocator, dtype, args.bias.shape());
  copy_on_device(runtime.stream(), args.bias, packed->rounded_bias);
  return packed;
}

void conv3d(CudaRuntime& runtime, Workspace& workspace, ConvolutionPlans& plans,
            const Conv3dArgs& args) {
  const auto& packed = static_cast<const CudaPackedConv3d&>(*args.weights);
  if (args.y.num_elements() == 0) return;
  Workspace::Scope memory(workspace);
  // The factors of a product are of one type.
  const auto as_filters = [&](ConstTensorView view) {
    const DType dtype = packed.filters.view().dtype();
    if (!view || view.dtype() == dtype) return view;
    const auto bytes = static_cast<std::size_t>(view.num_elements()) * dtype_size(dtype);
    const TensorView converted(memory.take<std::byte>(bytes), dtype, view.shape(), view.device());
    copy_on_device(runtime.stream(), view, converted);
    return ConstTensorView(converted);
  };
  const ConvolutionProblem problem =
      problem_of(packed, args, as_filters(args.x), as_filters(args.context));
  if (!packed.portable && cudnn_takes(problem) &&
      plans.impl().compute_by_cudnn(problem, packed.rounded_bias.view().bytes(), workspace))
    return;
  compute_without_cudnn(runtime, problem);
}

}  // namespace psagen::kernels::cuda
