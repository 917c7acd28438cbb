// Attention on the GPU at the shapes of the published models: a JSON object a line, by the kernels
// made for this GPU and by the portable ones.
//
//   bench_cuda_attention [part of a case's name]
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "kernels/backend.h"

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

class AttentionBench {
 public:
  explicit AttentionBench(bool portable)
      : portable_(portable),
        context_(make_context({.device = {DeviceKind::kCuda, 0},
                               .compute_dtype = DType::kBF16,
                               .portable_kernels = portable})),
        ops_(make_ops(*context_)) {}

  void run(const Case& c) {
    const Tensor q = random({1, c.queries, c.heads, c.depth}, 1);
    const Tensor k = random({1, c.keys, c.heads, c.depth}, 2);
    const Tensor v = random({1, c.keys, c.heads, c.depth}, 3);
    Tensor out(context_->allocator(), DType::kBF16, q.shape());
    AttentionArgs args{.q = q, .k = k, .v = v, .out = out};
    args.scale = 1.0 / std::sqrt(static_cast<double>(c.depth));
    Tensor weights;
    if (c.weights) {
      weights = Tensor(context_->allocator(), DType::kF32, {1, c.keys});
      ops_->copy(floats({1, c.keys}, 4), weights);
      args.key_log_weight = weights;
    }
    const double flop = 4.0 * static_cast<double>(c.queries * c.keys * c.heads * c.depth);
    milliseconds(args, 2);
    const int calls = static_cast<int>(std::clamp(400.0 / milliseconds(args, 2), 2.0, 400.0));
    std::vector<double> rounds;
    for (int i = 0; i < 5; ++i) rounds.push_back(milliseconds(args, calls));
    std::sort(rounds.begin(), rounds.end());
    std::printf(
        "{\"case\": \"%s\", \"kernels\": \"%s\", \"ms\": %.4f, \"best_ms\": %.4f, "
        "\"tflops\": %.1f}\n",
        c.name, portable_ ? "portable" : "default", rounds[2], rounds[0], flop / rounds[2] * 1e-9);
    std::fflush(stdout);
  }

  std::string device() const { return context_->runtime()->info().name; }

 private:
  // Of one call, `calls` of them queued after each other.
  double milliseconds(const AttentionArgs& args, int calls) {
    context_->runtime()->synchronize();
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < calls; ++i) ops_->attention(args);
    context_->runtime()->synchronize();
    const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
    return time.count() / calls;
  }

  // Near enough to normal: what the multipliers see decides the chip's power and clock.
  Tensor floats(Shape shape, std::uint64_t seed) {
    Tensor host(host_memory_, DType::kF32, shape);
    std::uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
    for (std::int64_t i = 0; i < shape.num_elements(); ++i) {
      double sum = 0.0;
      for (int part = 0; part < 4; ++part) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        sum += static_cast<double>(state >> 40) * 0x1p-24 - 0.5;
      }
      host.view().data<float>()[i] = static_cast<float>(sum * std::sqrt(3.0));
    }
    return host;
  }

  // [1, L, N, D]: 1024 rows of random values over and over.
  Tensor random(Shape shape, std::uint64_t seed) {
    Tensor result(context_->allocator(), DType::kBF16, shape);
    const std::int64_t block = std::min<std::int64_t>(shape[1], 1024);
    ops_->copy(floats({1, block, shape[2], shape[3]}, seed), result.view().slice(1, 0, block));
    for (std::int64_t row = block; row < shape[1]; row += block) {
      const std::int64_t rows = std::min(block, shape[1] - row);
      ops_->copy(result.view().slice(1, 0, rows), result.view().slice(1, row, row + rows));
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
  const std::string part = argc > 1 ? argv[1] : "";
  for (const bool portable : {false, true}) {
    AttentionBench bench(portable);
    if (!portable) std::printf("{\"device\": \"%s\"}\n", bench.device().c_str());
    for (const Case& c : kCases)
      if (std::string(c.name).find(part) != std::string::npos) bench.run(c);
  }
}
