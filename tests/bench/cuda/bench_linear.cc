// Linear layers on the GPU at the shapes of the published models, 832 x 480 and 1280 x 720.
//
//   bench_cuda_linear [part of a case's name]
#include "tests/bench/cuda/device_bench.h"

namespace psagen::kernels {
namespace {

struct Case {
  const char* name;
  std::int64_t rows, depth, columns;
  Activation activation = Activation::kNone;
  DType y_type = DType::kBF16;
  DType bias_type = DType::kBF16;
  bool residual = false;  // in place
  DType x_type = DType::kBF16;
};

constexpr Activation kPlain = Activation::kNone, kGelu = Activation::kGeluTanh;
constexpr DType kF32 = DType::kF32, kBF16 = DType::kBF16;

constexpr Case kCases[] = {
    {"qkv 32760x1536x4608", 32760, 1536, 4608},
    {"qkv 32760x1536x4608 f32 bias", 32760, 1536, 4608, kPlain, kBF16, kF32},
    {"out 32760x1536x1536", 32760, 1536, 1536},
    {"out 32760x1536x1536 add f32", 32760, 1536, 1536, kPlain, kF32, kF32, true},
    {"ffn up 32760x1536x8960 gelu", 32760, 1536, 8960, kGelu},
    {"ffn down 32760x8960x1536", 32760, 8960, 1536},
    {"patches 32760x64x1536 to f32", 32760, 64, 1536, kPlain, kF32, kF32},
    {"head 32760x1536x64 to f32", 32760, 1536, 64, kPlain, kF32, kF32},
    {"qkv 75600x5120x15360", 75600, 5120, 15360},
    {"out 75600x5120x5120", 75600, 5120, 5120},
    {"ffn up 75600x5120x13824 gelu", 75600, 5120, 13824, kGelu},
    {"ffn down 75600x13824x5120", 75600, 13824, 5120},
    {"text 512x4096x4096", 512, 4096, 4096},
    {"text 512x4096x10240", 512, 4096, 10240},
    {"text 512x10240x4096 add f32", 512, 10240, 4096, kPlain, kF32, kF32, true},
    {"text 24x4096x10240", 24, 4096, 10240},
    {"text 10x4096x10240", 10, 4096, 10240},
    {"time 1x1536x9216 f32 x", 1, 1536, 9216, kPlain, kF32, kF32, false, kF32},
    {"time 1x5120x30720 f32 x", 1, 5120, 30720, kPlain, kF32, kF32, false, kF32}};

void run_case(DeviceBench& bench, const Case& c) {
  const Tensor x = bench.random({1, c.rows, c.depth}, c.x_type);
  const Tensor weight =
      bench.random({c.columns, c.depth}, kBF16, 1.0 / std::sqrt(static_cast<double>(c.depth)));
  const Tensor bias = bench.random({c.columns}, c.bias_type);
  Tensor y = bench.empty({1, c.rows, c.columns}, c.y_type);
  LinearArgs args{.x = x, .weight = weight, .bias = bias, .activation = c.activation, .y = y};
  if (c.residual) {
    bench.ops().copy(bench.random({1, c.rows, c.columns}, c.y_type), y);
    args.residual = y;
  }
  const double flop = 2.0 * static_cast<double>(c.rows * c.depth) * static_cast<double>(c.columns);
  bench.run(c.name, DeviceBench::flop(flop), [&] { bench.ops().linear(args); });
}

}  // namespace
}  // namespace psagen::kernels

int main(int argc, char** argv) {
  using namespace psagen::kernels;
  DeviceBench bench(argc > 1 ? argv[1] : "");
  for (const Case& c : kCases)
    if (bench.wants(c.name)) run_case(bench, c);
  return 0;
}
