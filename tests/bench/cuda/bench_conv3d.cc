// Convolutions on the GPU at the shapes of the video decoder for 832 x 480, a chunk of one latent
// frame: a JSON object a line, the default kernels (cuDNN's where they are faster) and our own.
//
//   bench_cuda_conv3d [part of a case's name]
#include <cmath>

#include "tests/bench/cuda/device_bench.h"

namespace psagen::kernels {
namespace {

struct Case {
  const char* name;
  std::int64_t in, out, kernel_t, kernel_s, frames, height, width;
  bool upsample = false;
  bool residual = false;  // in place
  bool apart = false;     // the context lies elsewhere
};

constexpr Case kCases[] = {
    {"384 to 384 3x3x3 1x60x104", 384, 384, 3, 3, 1, 60, 104},
    {"384 to 384 3x3x3 4x120x208", 384, 384, 3, 3, 4, 120, 208},
    {"384 to 384 3x3x3 4x120x208 add", 384, 384, 3, 3, 4, 120, 208, false, true},
    {"192 to 192 3x3x3 4x240x416", 192, 192, 3, 3, 4, 240, 416},
    {"192 to 192 3x3x3 4x240x416 add", 192, 192, 3, 3, 4, 240, 416, false, true},
    {"96 to 96 3x3x3 4x480x832", 96, 96, 3, 3, 4, 480, 832},
    {"96 to 96 3x3x3 4x480x832 add", 96, 96, 3, 3, 4, 480, 832, false, true},
    {"96 to 96 3x3x3 4x480x832 two pieces", 96, 96, 3, 3, 4, 480, 832, false, false, true},
    {"192 to 384 3x3x3 2x120x208", 192, 384, 3, 3, 2, 120, 208},
    {"384 to 192 1x3x3 4x120x208 up", 384, 192, 1, 3, 4, 120, 208, true},
    {"192 to 96 1x3x3 4x240x416 up", 192, 96, 1, 3, 4, 240, 416, true},
    {"384 to 768 3x1x1 2x120x208", 384, 768, 3, 1, 2, 120, 208},
    {"384 to 1152 1x1x1 1x60x104", 384, 1152, 1, 1, 1, 60, 104},
    {"192 to 384 1x1x1 2x120x208", 192, 384, 1, 1, 2, 120, 208},
    {"16 to 384 3x3x3 1x60x104", 16, 384, 3, 3, 1, 60, 104},
    {"96 to 3 3x3x3 4x480x832", 96, 3, 3, 3, 4, 480, 832, false, false, true},
};

void run(DeviceBench& bench, const Case& c) {
  const std::int64_t before = c.kernel_t - 1, factor = c.upsample ? 2 : 1;
  const double inner = static_cast<double>(c.in * c.kernel_t * c.kernel_s * c.kernel_s);
  const Tensor weight = bench.random({c.out, c.in, c.kernel_t, c.kernel_s, c.kernel_s},
                                     DType::kBF16, 1.0 / std::sqrt(inner));
  const Tensor bias = bench.random({c.out}, DType::kBF16, 0.1);
  const Tensor frames = bench.random({before + c.frames, c.height, c.width, c.in});
  const Tensor apart = bench.random({before, c.height, c.width, c.in});
  // The last layer's result is float32.
  const Shape out = {c.frames, factor * c.height, factor * c.width, c.out};
  Tensor y = bench.empty(out, c.out == 3 ? DType::kF32 : DType::kBF16);
  if (c.residual) bench.ops().copy(bench.random(out), y);
  const auto packed = bench.ops().pack_conv3d({.weight = weight, .bias = bias});
  Conv3dArgs args{.x = frames.view().slice(0, before, before + c.frames),
                  .weights = packed.get(),
                  .upsample = c.upsample,
                  .y = y};
  if (before > 0) args.context = c.apart ? apart.view() : frames.view().slice(0, 0, before);
  if (c.residual) args.residual = y;
  const double flop = 2.0 * inner * static_cast<double>(out.num_elements());
  bench.run(c.name, DeviceBench::flop(flop), [&] { bench.ops().conv3d(args); });
}

}  // namespace
}  // namespace psagen::kernels

int main(int argc, char** argv) {
  using namespace psagen::kernels;
  for (const bool portable : {false, true}) {
    DeviceBench bench(argc > 1 ? argv[1] : "", portable);
    for (const Case& c : kCases)
      if (bench.wants(c.name)) run(bench, c);
  }
}
