// oneDNN computes; what is added here is the left context in time, nearest-neighbour doubling and
// the residual. Context and doubled frames are laid out in workspace memory.
#include "kernels/cpu/conv3d.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/widen.h"

namespace psagen::kernels::cpu {
namespace {

constexpr std::int64_t kCopyPiece = 1 << 16;  // floats

class CpuPackedConv3d final : public PackedConv3d {
 public:
  CpuPackedConv3d(Context& context, const ConvolutionShape& shape, const float* weight,
                  const float* bias)
      : weights(context, shape, weight, bias) {
    in_channels = shape.in_channels;
    out_channels = shape.out_channels;
    kernel_t = shape.kernel_t;
    kernel_h = shape.kernel_h;
    kernel_w = shape.kernel_w;
  }

  ConvolutionWeights weights;
};

ConvolutionShape shape_of(const PackedConv3d& packed, std::int64_t frames, std::int64_t height,
                          std::int64_t width) {
  ConvolutionShape shape;
  shape.frames = frames;
  shape.height = height;
  shape.width = width;
  shape.in_channels = packed.in_channels;
  shape.out_channels = packed.out_channels;
  shape.kernel_t = packed.kernel_t;
  shape.kernel_h = packed.kernel_h;
  shape.kernel_w = packed.kernel_w;
  shape.pad_h = (packed.kernel_h - 1) / 2;
  shape.pad_w = (packed.kernel_w - 1) / 2;
  return shape;
}

void copy_floats(const Context& context, const float* from, std::int64_t count, float* to) {
  parallel_for(context, count, kCopyPiece, [&](std::int64_t begin, std::int64_t end) {
    std::copy_n(from + begin, end - begin, to + begin);
  });
}

// doubled[2 y + i][2 x + j] = frame[y][x], rows of `channels` floats.
void double_frame(const Context& context, const float* frame, std::int64_t height,
                  std::int64_t width, std::int64_t channels, float* doubled) {
  const std::int64_t row_floats = 2 * width * channels;
  parallel_for(context, height, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t y = begin; y < end; ++y) {
      const float* from = frame + y * width * channels;
      float* row = doubled + 2 * y * row_floats;
      for (std::int64_t x = 0; x < width; ++x, from += channels) {
        std::copy_n(from, channels, row + 2 * x * channels);
        std::copy_n(from, channels, row + (2 * x + 1) * channels);
      }
      std::copy_n(row, row_floats, row + row_floats);
    }
  });
}

// With doubling, a frame at a time: the doubled clip never exists.
void run_doubled(Context& context, ConvolutionCache& convolutions, const CpuPackedConv3d& packed,
                 const float* x, const Shape& x_shape, std::int64_t context_frames, bool add,
                 float* y) {
  const std::int64_t frames = x_shape[0], height = x_shape[1], width = x_shape[2];
  const std::int64_t channels = x_shape[3], span = packed.kernel_t;
  const std::int64_t in_frame = height * width * channels;
  const std::int64_t out_frame = 4 * height * width * packed.out_channels;
  Workspace::Scope memory(context.workspace());
  float* doubled = memory.take<float>(static_cast<std::size_t>(span * 4 * in_frame));
  ConvolutionShape shape = shape_of(packed, 1, 2 * height, 2 * width);
  shape.add_to_y = add;
  for (std::int64_t frame = 0; frame < frames; ++frame) {
    // Frames before the first are zeros: the convolution pads, and reads fewer frames.
    const std::int64_t last = frame + context_frames;
    const std::int64_t first = std::max<std::int64_t>(last - span + 1, 0);
    for (std::int64_t i = first; i <= last; ++i)
      double_frame(context, x + i * in_frame, height, width, channels,
                   doubled + (i - first) * 4 * in_frame);
    shape.pad_t = span - 1 - (last - first);
    convolutions.run(shape, packed.weights, doubled, y + frame * out_frame);
  }
}

}  // namespace

std::unique_ptr<PackedConv3d> pack_conv3d(Context& context, const PackConv3dArgs& args) {
  constexpr std::int64_t kMiddlingSize = 32;
  ConvolutionShape shape;
  shape.frames = 4;
  shape.height = shape.width = kMiddlingSize;
  shape.out_channels = args.weight.dim(0);
  shape.in_channels = args.weight.dim(1);
  shape.kernel_t = args.weight.dim(2);
  shape.kernel_h = args.weight.dim(3);
  shape.kernel_w = args.weight.dim(4);
  shape.pad_h = (shape.kernel_h - 1) / 2;
  shape.pad_w = (shape.kernel_w - 1) / 2;
  Workspace::Scope scratch(context.workspace());
  return std::make_unique<CpuPackedConv3d>(context, shape, as_floats(args.weight, scratch),
                                           as_floats(args.bias, scratch));
}

void conv3d(Context& context, ConvolutionCache& convolutions, const Conv3dArgs& args) {
  const auto& packed = static_cast<const CpuPackedConv3d&>(*args.weights);
  const std::int64_t frames = args.x.dim(0), height = args.x.dim(1), width = args.x.dim(2);
  if (args.y.num_elements() == 0) return;
  float* y = args.y.data<float>();
  const bool add = static_cast<bool>(args.residual);
  if (add && args.residual.data<float>() != y)
    copy_floats(context, args.residual.data<float>(), args.y.num_elements(), y);

  Workspace::Scope memory(context.workspace());
  const float* x = args.x.data<float>();
  const std::int64_t context_frames = args.context ? packed.kernel_t - 1 : 0;
  if (args.context) {
    const std::int64_t before = args.context.num_elements();
    float* joined = memory.take<float>(static_cast<std::size_t>(before + args.x.num_elements()));
    copy_floats(context, args.context.data<float>(), before, joined);
    copy_floats(context, x, args.x.num_elements(), joined + before);
    x = joined;
  }
  if (args.upsample)
    return run_doubled(context, convolutions, packed, x, args.x.shape(), context_frames, add, y);
  ConvolutionShape shape = shape_of(packed, frames, height, width);
  shape.pad_t = packed.kernel_t - 1 - context_frames;
  shape.add_to_y = add;
  convolutions.run(shape, packed.weights, x, y);
}

}  // namespace psagen::kernels::cpu
