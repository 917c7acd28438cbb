// Pyramid sparse attention against dense attention, in one run: every round times the dense op,
// then each case with its three stages, so that a machine which speeds up or slows down does it to
// all. Times are medians over the rounds.
//
//   bench_psa [--tokens L] [--heads N] [--depth D] [--key-block n] [--threads K] [--rounds R]
//             [--json FILE]
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/simd_target.h"
#include "kernels/psa/psa_args.h"
#include "kernels/psa/pyramid_sparse_attention.h"

namespace psagen::kernels {
namespace {

struct Options {
  std::int64_t tokens = 9216, heads = 2, depth = 128, key_block = 128, threads = 0, rounds = 5;
  std::string json;
};

Options parse(int argc, char** argv) {
  Options options;
  const std::map<std::string, std::int64_t*> numbers = {
      {"--tokens", &options.tokens},   {"--heads", &options.heads},
      {"--depth", &options.depth},     {"--key-block", &options.key_block},
      {"--threads", &options.threads}, {"--rounds", &options.rounds},
  };
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    const bool known = name == "--json" || numbers.count(name) == 1;
    PSAGEN_CHECK(known && i + 1 < argc, ErrorCode::kInvalidArgument,
                 known ? "no value after " : "unknown option ", name);
    if (name == "--json")
      options.json = argv[i + 1];
    else
      *numbers.at(name) = std::atoll(argv[i + 1]);
  }
  return options;
}

struct Case {
  std::string name;
  std::array<double, 4> level_bounds;
};

const Case kCases[] = {
    {"psa 0.10", {0.05, 0.10, 0.15, 0.25}},
    {"psa 0.15", {0.10, 0.15, 0.15, 0.35}},
    {"psa 0.20", {0.125, 0.20, 0.25, 0.45}},
    {"psa 0.30", {0.20, 0.30, 0.375, 0.625}},
    {"block-sparse 0.10", {0.10, 0.10, 0.10, 0.10}},
    {"block-sparse 0.15", {0.15, 0.15, 0.15, 0.15}},
    {"block-sparse 0.20", {0.20, 0.20, 0.20, 0.20}},
    {"block-sparse 0.30", {0.30, 0.30, 0.30, 0.30}},
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// A random walk along the sequence: neighbours resemble one another, as in token order. `size` is
// the standard deviation of the values.
Tensor smooth_tokens(Allocator& memory, const Options& options, std::uint64_t seed, float size) {
  Tensor x(memory, DType::kF32, {1, options.tokens, options.heads, options.depth});
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  const std::int64_t width = options.heads * options.depth;
  float* values = x.view().data<float>();
  for (std::int64_t i = 0; i < options.tokens * width; ++i) {
    const float noise = normal(random);
    values[i] = i < width ? size * noise : 0.98f * values[i - width] + 0.2f * size * noise;
  }
  return x;
}

double relative_error(ConstTensorView x, ConstTensorView truth) {
  double error = 0.0, norm = 0.0;
  for (std::int64_t i = 0; i < x.num_elements(); ++i) {
    const double wanted = truth.data<float>()[i];
    error += (x.data<float>()[i] - wanted) * (x.data<float>()[i] - wanted);
    norm += wanted * wanted;
  }
  return std::sqrt(error / norm);
}

double mean(ConstTensorView x) {
  double sum = 0.0;
  for (std::int64_t i = 0; i < x.num_elements(); ++i) sum += x.data<float>()[i];
  return sum / static_cast<double>(x.num_elements());
}

struct Timing {
  std::vector<double> total, pyramid, selection, attention;
  double nominal_density = 0.0, executed_density = 0.0;
  double error = 0.0;
};

class Bench {
 public:
  explicit Bench(const Options& options)
      : options_(options),
        context_({.device = {}, .num_threads = static_cast<int>(options.threads)}),
        ops_(make_ops(context_)),
        q_(smooth_tokens(context_.allocator(), options, 1, 3.0f)),
        k_(smooth_tokens(context_.allocator(), options, 2, 1.0f)),
        v_(smooth_tokens(context_.allocator(), options, 3, 1.0f)),
        dense_(context_.allocator(), DType::kF32, q_.shape()),
        sparse_(context_.allocator(), DType::kF32, q_.shape()),
        nominal_(context_.allocator(), DType::kF32, {1, options.heads}),
        executed_(context_.allocator(), DType::kF32, {1, options.heads}),
        timings_(std::size(kCases)) {}

  void run() {
    run_dense();  // warm-up, and the truth for the error
    for (std::size_t i = 0; i < std::size(kCases); ++i) {
      run_case(i);
      timings_[i] = {
          {}, {}, {}, {}, mean(nominal_), mean(executed_), relative_error(sparse_, dense_)};
    }
    for (std::int64_t round = 0; round < options_.rounds; ++round) {
      dense_seconds_.push_back(run_dense());
      for (std::size_t i = 0; i < std::size(kCases); ++i) run_case(i);
    }
  }

  void print() const {
    const double dense = median(dense_seconds_);
    const double flop = 4.0 * static_cast<double>(options_.tokens) *
                        static_cast<double>(options_.tokens) *
                        static_cast<double>(options_.depth * options_.heads);
    std::printf("L %lld, heads %lld, head dim %lld, key block %lld, %d threads, %s\n",
                static_cast<long long>(options_.tokens), static_cast<long long>(options_.heads),
                static_cast<long long>(options_.depth), static_cast<long long>(options_.key_block),
                context_.num_threads(), cpu::simd_target_name());
    std::printf("dense: %.1f ms, %.1f GFLOP/s\n", dense * 1e3, flop / dense * 1e-9);
    std::printf("%-18s %8s %8s %9s %9s %9s %9s %8s %7s\n", "case", "nominal", "executed",
                "total ms", "pyramid", "select", "attend", "faster", "error");
    for (std::size_t i = 0; i < std::size(kCases); ++i) {
      const Timing& t = timings_[i];
      std::printf("%-18s %8.4f %8.4f %9.2f %9.2f %9.2f %9.2f %7.2fx %7.4f\n",
                  kCases[i].name.c_str(), t.nominal_density, t.executed_density,
                  median(t.total) * 1e3, median(t.pyramid) * 1e3, median(t.selection) * 1e3,
                  median(t.attention) * 1e3, dense / median(t.total), t.error);
    }
  }

  void write_json() const {
    nlohmann::json report = {
        {"tokens", options_.tokens},         {"heads", options_.heads},
        {"head_dim", options_.depth},        {"key_block", options_.key_block},
        {"threads", context_.num_threads()}, {"simd_target", cpu::simd_target_name()},
        {"rounds", options_.rounds},         {"dense_s", dense_seconds_}};
    for (std::size_t i = 0; i < std::size(kCases); ++i) {
      const Timing& t = timings_[i];
      report["cases"].push_back({{"name", kCases[i].name},
                                 {"level_bounds", kCases[i].level_bounds},
                                 {"nominal_density", t.nominal_density},
                                 {"executed_density", t.executed_density},
                                 {"relative_error", t.error},
                                 {"total_s", t.total},
                                 {"pyramid_s", t.pyramid},
                                 {"selection_s", t.selection},
                                 {"attention_s", t.attention},
                                 {"faster", median(dense_seconds_) / median(t.total)}});
    }
    std::ofstream(options_.json) << report.dump(2) << '\n';
  }

 private:
  double scale() const { return 1.0 / std::sqrt(static_cast<double>(options_.depth)); }

  double run_dense() {
    AttentionArgs args;
    args.q = q_;
    args.k = k_;
    args.v = v_;
    args.scale = scale();
    args.out = dense_;
    return seconds([&] { ops_->attention(args); });
  }

  void run_case(std::size_t index) {
    PsaParams params;
    params.key_block = static_cast<int>(options_.key_block);
    params.level_bounds = kCases[index].level_bounds;
    PyramidSparseAttention psa(*ops_, 1, options_.tokens, options_.heads, options_.depth, params);
    context_.profiler().reset();
    Timing& t = timings_[index];
    t.total.push_back(seconds([&] {
      psa.forward(*ops_, q_, k_, v_, scale(), {}, sparse_, {},
                  {.nominal = nominal_, .executed = executed_});
    }));
    const Profiler& profiler = context_.profiler();
    t.pyramid.push_back(profiler.entry(Zone::kPyramidPool).seconds);
    t.selection.push_back(profiler.entry(Zone::kBlockImportance).seconds);
    t.attention.push_back(profiler.entry(Zone::kSparseAttention).seconds);
  }

  const Options options_;
  Context context_;
  std::unique_ptr<Ops> ops_;
  Tensor q_, k_, v_, dense_, sparse_;
  Tensor nominal_, executed_;  // of the last case
  std::vector<double> dense_seconds_;
  std::vector<Timing> timings_;
};

}  // namespace
}  // namespace psagen::kernels

int main(int argc, char** argv) {
  try {
    const psagen::kernels::Options options = psagen::kernels::parse(argc, argv);
    psagen::kernels::Bench bench(options);
    bench.run();
    bench.print();
    if (!options.json.empty()) bench.write_json();
    return 0;
  } catch (const psagen::Error& error) {
    std::cerr << "bench_psa: " << error.message() << '\n';
    return 2;
  }
}
