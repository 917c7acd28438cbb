#include "kernels/reference/conv3d.h"

#include "kernels/reference/elements.h"

namespace psagen::kernels::reference {
namespace {

// The input with its left context in front, addressed in output pixels.
template <typename Real>
struct Input {
  std::vector<Real> x, context;
  std::int64_t frames, height, width, channels, context_frames, factor;

  // Null for a pixel outside, which counts as zeros.
  const Real* pixel(std::int64_t frame, std::int64_t y, std::int64_t x_at) const {
    if (y < 0 || x_at < 0 || y >= factor * height || x_at >= factor * width) return nullptr;
    const std::int64_t at = (y / factor * width + x_at / factor) * channels;
    const std::int64_t frame_size = height * width * channels;
    if (frame >= 0) return x.data() + frame * frame_size + at;
    if (context.empty() || frame < -context_frames) return nullptr;
    return context.data() + (frame + context_frames) * frame_size + at;
  }
};

// `sum` is what the sum starts with: the bias.
template <typename Real>
Real convolve(const Input<Real>& in, const Real* weight, const Shape& shape, std::int64_t frame,
              std::int64_t y, std::int64_t x, Real sum) {
  const std::int64_t channels = shape[1], span = shape[2], rows = shape[3], columns = shape[4];
  for (std::int64_t t = 0; t < span; ++t) {
    for (std::int64_t p = 0; p < rows; ++p) {
      for (std::int64_t q = 0; q < columns; ++q) {
        const Real* pixel =
            in.pixel(frame + t - (span - 1), y + p - (rows - 1) / 2, x + q - (columns - 1) / 2);
        if (pixel == nullptr) continue;
        for (std::int64_t c = 0; c < channels; ++c)
          sum += pixel[c] * weight[((c * span + t) * rows + p) * columns + q];
      }
    }
  }
  return sum;
}

}  // namespace

template <typename Real>
std::vector<Real> conv3d(const Conv3dArgs& args, const PackConv3dArgs& weights) {
  const Shape& shape = weights.weight.shape();
  const auto weight = elements<Real>(weights.weight), bias = elements<Real>(weights.bias);
  const Input<Real> in{elements<Real>(args.x), elements<Real>(args.context),
                       args.x.dim(0),          args.x.dim(1),
                       args.x.dim(2),          args.x.dim(3),
                       shape[2] - 1,           args.upsample ? 2 : 1};
  const std::int64_t height = in.factor * in.height, width = in.factor * in.width;
  const std::int64_t filter = shape[1] * shape[2] * shape[3] * shape[4];
  auto y = elements<Real>(args.residual);
  y.resize(static_cast<std::size_t>(in.frames * height * width * shape[0]), Real{0});
  for (std::int64_t i = 0; i < in.frames * height * width; ++i) {
    for (std::int64_t out = 0; out < shape[0]; ++out) {
      y[static_cast<std::size_t>(i * shape[0] + out)] +=
          convolve(in, weight.data() + out * filter, shape, i / (height * width),
                   i / width % height, i % width, bias[static_cast<std::size_t>(out)]);
    }
  }
  return y;
}

template std::vector<double> conv3d<double>(const Conv3dArgs&, const PackConv3dArgs&);
template std::vector<float> conv3d<float>(const Conv3dArgs&, const PackConv3dArgs&);

}  // namespace psagen::kernels::reference
