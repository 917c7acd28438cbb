// Convolutions on the GPU at the shapes of the video decoder for 832 x 480, a chunk of one latent
// frame: a JSON object a line, the default kernels (cuDNN's where they are faster) and our own.
//
//   bench_cuda_conv3d [part of a case's name]
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"

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

class ConvolutionBench {
 public:
  explicit ConvolutionBench(bool portable)
      : portable_(portable),
        context_(make_context({.device = {DeviceKind::kCuda, 0},
                               .compute_dtype = DType::kBF16,
                               .portable_kernels = portable})),
        ops_(make_ops(*context_)) {}

  void run(const Case& c) {
    const std::int64_t before = c.kernel_t - 1, factor = c.upsample ? 2 : 1;
    const double inner = static_cast<double>(c.in * c.kernel_t * c.kernel_s * c.kernel_s);
    const Tensor weight =
        random({c.out, c.in, c.kernel_t, c.kernel_s, c.kernel_s}, 1, 1.0 / std::sqrt(inner));
    const Tensor bias = random({c.out}, 2, 0.1);
    const Tensor frames = random({before + c.frames, c.height, c.width, c.in}, 3, 1.0);
    const Tensor apart = random({before, c.height, c.width, c.in}, 4, 1.0);
    // The last layer's result is float32.
    const Shape out = {c.frames, factor * c.height, factor * c.width, c.out};
    Tensor y(context_->allocator(), c.out == 3 ? DType::kF32 : DType::kBF16, out);
    if (c.residual) ops_->copy(random(out, 5, 1.0), y);
    const auto packed = ops_->pack_conv3d({.weight = weight, .bias = bias});
    Conv3dArgs args{.x = frames.view().slice(0, before, before + c.frames),
                    .weights = packed.get(),
                    .upsample = c.upsample,
                    .y = y};
    if (before > 0) args.context = c.apart ? apart.view() : frames.view().slice(0, 0, before);
    if (c.residual) args.residual = y;

    const double flop = 2.0 * inner * static_cast<double>(out.num_elements());
    const double first = milliseconds(args, 1);
    const int calls = static_cast<int>(std::clamp(200.0 / milliseconds(args, 2), 2.0, 200.0));
    std::vector<double> rounds;
    for (int i = 0; i < 5; ++i) rounds.push_back(milliseconds(args, calls));
    std::sort(rounds.begin(), rounds.end());
    std::printf(
        "{\"case\": \"%s\", \"kernels\": \"%s\", \"ms\": %.4f, \"best_ms\": %.4f, "
        "\"tflops\": %.1f, \"first_call_ms\": %.1f}\n",
        c.name, portable_ ? "portable" : "default", rounds[2], rounds[0], flop / rounds[2] * 1e-9,
        first);
    std::fflush(stdout);
  }

  std::string device() const { return context_->runtime()->info().name; }

 private:
  // Of one call, `calls` of them queued after each other.
  double milliseconds(const Conv3dArgs& args, int calls) {
    context_->runtime()->synchronize();
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < calls; ++i) ops_->conv3d(args);
    context_->runtime()->synchronize();
    const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
    return time.count() / calls;
  }

  // Near enough to normal: what the multipliers see decides the chip's power and clock. A million
  // values over and over.
  Tensor random(Shape shape, std::uint64_t seed, double deviation) {
    Tensor result(context_->allocator(), DType::kBF16, shape);
    const std::int64_t count = shape.num_elements(), block = std::min<std::int64_t>(count, 1 << 20);
    if (count == 0) return result;
    Tensor host(host_memory_, DType::kF32, {block});
    std::uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
    for (std::int64_t i = 0; i < block; ++i) {
      double sum = 0.0;
      for (int part = 0; part < 4; ++part) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        sum += static_cast<double>(state >> 40) * 0x1p-24 - 0.5;
      }
      host.view().data<float>()[i] = static_cast<float>(sum * std::sqrt(3.0) * deviation);
    }
    const TensorView flat = result.view().reshape({count});
    ops_->copy(host, flat.slice(0, 0, block));
    for (std::int64_t at = block; at < count; at += block) {
      const std::int64_t part = std::min(block, count - at);
      ops_->copy(flat.slice(0, 0, part), flat.slice(0, at, at + part));
    }
    return result;
  }

  bool portable_;
  CpuAllocator host_memory_;
  std::unique_ptr<Context> context_;
  std::unique_ptr<Ops> ops_;
};

}  // namespace
}  // namespace psagen::kernels

int main(int argc, char** argv) {
  using namespace psagen::kernels;
  for (const bool portable : {false, true}) {
    ConvolutionBench bench(portable);
    if (!portable) std::printf("{\"device\": \"%s\"}\n", bench.device().c_str());
    for (const Case& c : kCases)
      if (argc < 2 || std::strstr(c.name, argv[1]) != nullptr) bench.run(c);
  }
  return 0;
}
