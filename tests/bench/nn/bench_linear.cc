// Linear layers of the small model and of the published one, beside dnnl_sgemm on the same product.
#include <omp.h>

#include <dnnl.hpp>

#include "tests/bench/nn/bench_report.h"

namespace psagen::kernels {
namespace {

struct Case {
  const char* name;
  std::int64_t rows, depth, columns;
  DType dtype;
  Activation activation;
  bool residual;
};

constexpr Case kCases[] = {
    {"qkv 2304x256x256", 2304, 256, 256, DType::kF32, Activation::kNone, false},
    {"qkv 2304x256x256 bf16", 2304, 256, 256, DType::kBF16, Activation::kNone, false},
    {"out 2304x256x256 add", 2304, 256, 256, DType::kF32, Activation::kNone, true},
    {"ffn up 2304x256x1024 gelu", 2304, 256, 1024, DType::kF32, Activation::kGeluTanh, false},
    {"ffn down 2304x1024x256 add", 2304, 1024, 256, DType::kF32, Activation::kNone, true},
    {"ffn up 2048x1536x8960 bf16", 2048, 1536, 8960, DType::kBF16, Activation::kGeluTanh, false},
    {"text 10x512x512", 10, 512, 512, DType::kF32, Activation::kNone, false},
    {"text 24x512x1024", 24, 512, 1024, DType::kF32, Activation::kNone, false},
    {"text 512x4096x4096 bf16", 512, 4096, 4096, DType::kBF16, Activation::kNone, false},
    {"time 1x256x1536", 1, 256, 1536, DType::kF32, Activation::kSilu, false},
    {"time 1x1536x9216 bf16", 1, 1536, 9216, DType::kBF16, Activation::kNone, false}};

void run_case(Bench& bench, const Case& c) {
  const Tensor x = bench.random({1, c.rows, c.depth});
  const Tensor weight = bench.random({c.columns, c.depth}, c.dtype);
  const Tensor plain = bench.random({c.columns, c.depth});
  const Tensor bias = bench.random({c.columns}, c.dtype);
  Tensor y = bench.random({1, c.rows, c.columns});
  LinearArgs args{.x = x, .weight = weight, .bias = bias, .activation = c.activation, .y = y};
  if (c.residual) args.residual = y;
  const double work = 2.0 * static_cast<double>(c.rows * c.depth * c.columns);
  const std::string name = c.name;
  bench.compare({{name, [&] { bench.ops().linear(args); }, work},
                 {name + " sgemm",
                  [&] {
                    dnnl_sgemm('N', 'T', c.rows, c.columns, c.depth, 1.0f, x.view().data<float>(),
                               c.depth, plain.view().data<float>(), c.depth, 0.0f,
                               y.view().data<float>(), c.columns);
                  },
                  work}});
}

}  // namespace
}  // namespace psagen::kernels

int main(int argc, char** argv) {
  using namespace psagen::kernels;
  Bench bench("linear", parse_bench_options(argc, argv));
  omp_set_num_threads(bench.context().num_threads());
  for (const Case& c : kCases) run_case(bench, c);
}
