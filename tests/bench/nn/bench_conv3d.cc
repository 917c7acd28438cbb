// Convolutions and norms of the small VAE decoder at 256 x 256, in chunks of 4 frames.

#include "tests/bench/nn/bench_report.h"

namespace psagen::kernels {
namespace {

struct Case {
  const char* name;
  std::int64_t in, out, kernel_t, kernel_s, frames, height, width;
  bool upsample, residual;
};

constexpr Case kCases[] = {{"128 to 128 3x3x3 1x32x32", 128, 128, 3, 3, 1, 32, 32, false, true},
                           {"128 to 256 3x1x1 2x64x64", 128, 256, 3, 1, 2, 64, 64, false, false},
                           {"128 to 128 3x3x3 4x64x64", 128, 128, 3, 3, 4, 64, 64, false, true},
                           {"128 to 64 1x3x3 4x64x64 up", 128, 64, 1, 3, 4, 64, 64, true, false},
                           {"64 to 64 3x3x3 4x128x128", 64, 64, 3, 3, 4, 128, 128, false, true},
                           {"64 to 32 1x3x3 4x128x128 up", 64, 32, 1, 3, 4, 128, 128, true, false},
                           {"64 to 128 1x1x1 4x64x64", 64, 128, 1, 1, 4, 64, 64, false, false},
                           {"32 to 32 3x3x3 4x256x256", 32, 32, 3, 3, 4, 256, 256, false, true},
                           {"32 to 3 3x3x3 4x256x256", 32, 3, 3, 3, 4, 256, 256, false, false}};

void run_case(Bench& bench, const Case& c) {
  const std::int64_t factor = c.upsample ? 2 : 1;
  const Tensor weight = bench.random({c.out, c.in, c.kernel_t, c.kernel_s, c.kernel_s});
  const Tensor bias = bench.random({c.out});
  const Tensor x = bench.random({c.frames, c.height, c.width, c.in});
  const Tensor left = bench.random({c.kernel_t - 1, c.height, c.width, c.in});
  Tensor y = bench.random({c.frames, factor * c.height, factor * c.width, c.out});
  const auto packed = bench.ops().pack_conv3d({.weight = weight, .bias = bias});
  Conv3dArgs args{.x = x, .weights = packed.get(), .upsample = c.upsample, .y = y};
  if (c.kernel_t > 1) args.context = left;
  if (c.residual) args.residual = y;
  const double work = 2.0 * static_cast<double>(y.shape().num_elements() * c.in * c.kernel_t *
                                                c.kernel_s * c.kernel_s);
  bench.compare({{c.name, [&] { bench.ops().conv3d(args); }, work}});
}

// One read and one write of every value; the work column counts values.
void run_norm(Bench& bench, std::int64_t channels, std::int64_t side) {
  const Tensor x = bench.random({4, side, side, channels});
  const Tensor gamma = bench.random({channels});
  Tensor y = bench.random({4, side, side, channels});
  bench.compare({{concat("norm+silu 4x", side, "x", side, "x", channels),
                  [&] { bench.ops().channel_norm({.x = x, .gamma = gamma, .silu = true, .y = y}); },
                  static_cast<double>(x.shape().num_elements())}});
}

}  // namespace
}  // namespace psagen::kernels

int main(int argc, char** argv) {
  using namespace psagen::kernels;
  Bench bench("conv3d", parse_bench_options(argc, argv));
  for (const Case& c : kCases) run_case(bench, c);
  run_norm(bench, 128, 64);
  run_norm(bench, 64, 128);
  run_norm(bench, 32, 256);
}
