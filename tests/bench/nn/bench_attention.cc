// Dense attention beside dnnl_sgemm on the same two products (Q K' and P V) in the same run.
#include <omp.h>

#include <cmath>
#include <dnnl.hpp>

#include "tests/bench/nn/bench_report.h"

namespace psagen::kernels {
namespace {

struct Case {
  const char* name;
  std::int64_t queries, keys, heads, depth;
};

// Self-attention of the small model at 33 and 129 frames of 256 x 256, a narrower head, the VAE's
// middle block, and cross-attention to a short prompt.
constexpr Case kCases[] = {
    {"L 2304, 2 x 128", 2304, 2304, 2, 128},     {"L 9216, 2 x 128", 9216, 9216, 2, 128},
    {"L 2304, 4 x 64", 2304, 2304, 4, 64},       {"L 1024, 1 x 384", 1024, 1024, 1, 384},
    {"L 2304, S 16, 2 x 128", 2304, 16, 2, 128}, {"L 2304, S 512, 2 x 128", 2304, 512, 2, 128}};

void run_case(Bench& bench, const Case& c) {
  const Tensor q = bench.random({1, c.queries, c.heads, c.depth});
  const Tensor k = bench.random({1, c.keys, c.heads, c.depth});
  const Tensor v = bench.random({1, c.keys, c.heads, c.depth});
  const Tensor packed = bench.random({std::max(c.queries, c.keys), c.depth});
  const Tensor rows = bench.random({c.queries, c.depth});
  Tensor out = bench.random({1, c.queries, c.heads, c.depth});
  Tensor scores = bench.random({c.queries, c.keys});
  const double scale = 1.0 / std::sqrt(static_cast<double>(c.depth));
  const double product = 2.0 * static_cast<double>(c.queries * c.keys * c.depth);
  const float* a = rows.view().data<float>();
  const float* b = packed.view().data<float>();
  float* s = scores.view().data<float>();
  float* o = out.view().data<float>();
  const std::string name = c.name;
  bench.compare(
      {{name + " attention",
        [&] { bench.ops().attention({.q = q, .k = k, .v = v, .scale = scale, .out = out}); },
        2.0 * product * static_cast<double>(c.heads)},
       {name + " sgemm QK'",
        [&] {
          dnnl_sgemm('N', 'T', c.queries, c.keys, c.depth, 1.0f, a, c.depth, b, c.depth, 0.0f, s,
                     c.keys);
        },
        product},
       {name + " sgemm PV",
        [&] {
          dnnl_sgemm('N', 'N', c.queries, c.depth, c.keys, 1.0f, s, c.keys, b, c.depth, 0.0f, o,
                     c.depth);
        },
        product}});
}

}  // namespace
}  // namespace psagen::kernels

int main(int argc, char** argv) {
  using namespace psagen::kernels;
  Bench bench("attention", parse_bench_options(argc, argv));
  omp_set_num_threads(bench.context().num_threads());
  for (const Case& c : kCases) run_case(bench, c);
}
