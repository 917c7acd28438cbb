// Attention on the GPU at the shapes of the published models: a JSON object a line, by the kernels
// made for this GPU and by the portable ones.
//
//   bench_cuda_attention [part of a case's name]
#include <cmath>

#include "tests/bench/cuda/device_bench.h"

namespace psagen::kernels {
namespace {

struct Case {
  const char* name;
  std::int64_t queries, keys, heads, depth;
  bool weights;
};

constexpr Case kCases[] = {{"self 32760 x 12 x 128", 32760, 32760, 12, 128, false},
                           {"self 75600 x 40 x 128", 75600, 75600, 40, 128, false},
                           {"self 32760 x 12 x 64", 32760, 32760, 12, 64, false},
                           {"cross 32760 x 512 x 12 x 128", 32760, 512, 12, 128, false},
                           {"cross 32760 x 512 x 12 x 128 weights", 32760, 512, 12, 128, true},
                           {"cross 32760 x 40 x 12 x 128 weights", 32760, 40, 12, 128, true},
                           {"cross 75600 x 512 x 40 x 128", 75600, 512, 40, 128, false}};

void run(DeviceBench& bench, const Case& c) {
  const Tensor q = bench.random({1, c.queries, c.heads, c.depth});
  const Tensor k = bench.random({1, c.keys, c.heads, c.depth});
  const Tensor v = bench.random({1, c.keys, c.heads, c.depth});
  const Tensor weights = bench.random({1, c.keys}, DType::kF32);
  Tensor out = bench.empty(q.shape());
  AttentionArgs args{.q = q, .k = k, .v = v, .out = out};
  args.scale = 1.0 / std::sqrt(static_cast<double>(c.depth));
  if (c.weights) args.key_log_weight = weights;
  const double flop = 4.0 * static_cast<double>(c.queries * c.keys * c.heads * c.depth);
  bench.run(c.name, DeviceBench::flop(flop), [&] { bench.ops().attention(args); });
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
