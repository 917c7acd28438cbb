// What the network benchmarks share: times of repeated calls, a table on the screen, JSON in a
// file.
//
//   bench_x [--json FILE] [--rounds N] [--threads N] [--clock wall|cpu]
//
// The CPU clock counts the calling thread only: with one thread it gives usable figures on a
// machine that is busy with other work.
#pragma once

#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/simd_target.h"

namespace psagen::kernels {

struct BenchOptions {
  std::string json;
  int rounds = 7;
  int threads = 0;
  bool cpu_clock = false;
};

inline BenchOptions parse_bench_options(int argc, char** argv) {
  BenchOptions options;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--json") == 0) options.json = argv[i + 1];
    if (std::strcmp(argv[i], "--rounds") == 0) options.rounds = std::max(1, std::atoi(argv[i + 1]));
    if (std::strcmp(argv[i], "--threads") == 0) options.threads = std::atoi(argv[i + 1]);
    if (std::strcmp(argv[i], "--clock") == 0)
      options.cpu_clock = std::strcmp(argv[i + 1], "cpu") == 0;
  }
  return options;
}

class Bench {
 public:
  Bench(std::string name, const BenchOptions& options)
      : options_(options),
        context_({.device = {}, .num_threads = options.threads}),
        ops_(make_ops(context_)) {
    report_ = {{"bench", std::move(name)},        {"threads", context_.num_threads()},
               {"simd", cpu::simd_target_name()}, {"clock", options.cpu_clock ? "cpu" : "wall"},
               {"rounds", options.rounds},        {"cases", nlohmann::json::array()}};
    std::printf("%s: %d threads, %s\n%-34s %10s %10s %10s\n",
                report_["bench"].get<std::string>().c_str(), context_.num_threads(),
                cpu::simd_target_name(), "case", "best ms", "median ms", "GFLOP/s");
  }
  ~Bench() {
    if (!options_.json.empty()) std::ofstream(options_.json) << report_.dump(2) << '\n';
  }

  Ops& ops() { return *ops_; }
  Context& context() { return context_; }

  Tensor random(Shape shape, DType dtype = DType::kF32) {
    Tensor floats(context_.allocator(), DType::kF32, shape);
    std::uint32_t state = 12345;
    for (std::int64_t i = 0; i < shape.num_elements(); ++i) {
      state = state * 1664525u + 1013904223u;
      floats.view().data<float>()[i] = static_cast<float>(state >> 8) * 0x1p-24f - 0.5f;
    }
    if (dtype == DType::kF32) return floats;
    Tensor result(context_.allocator(), dtype, shape);
    ops_->copy(floats, result);
    return result;
  }

  // Times several ways to do the same work in turn, so that a disturbance meets all of them; after
  // one warm-up each. `work` is in floating-point operations.
  struct Way {
    std::string name;
    std::function<void()> run;
    double work;
  };
  void compare(const std::vector<Way>& ways) {
    std::vector<std::vector<double>> seconds(ways.size());
    for (const Way& way : ways) way.run();
    for (int round = 0; round < options_.rounds; ++round) {
      for (std::size_t i = 0; i < ways.size(); ++i) {
        const double start = now();
        ways[i].run();
        seconds[i].push_back(now() - start);
      }
    }
    for (std::size_t i = 0; i < ways.size(); ++i) record(ways[i], std::move(seconds[i]));
  }

 private:
  double now() const {
    timespec time{};
    clock_gettime(options_.cpu_clock ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  }

  void record(const Way& way, std::vector<double> seconds) {
    std::sort(seconds.begin(), seconds.end());
    const double best = seconds.front(), median = seconds[seconds.size() / 2];
    std::printf("%-34s %10.3f %10.3f %10.1f\n", way.name.c_str(), best * 1e3, median * 1e3,
                way.work / best * 1e-9);
    report_["cases"].push_back({{"name", way.name},
                                {"best_s", best},
                                {"median_s", median},
                                {"work_flop", way.work},
                                {"best_gflops", way.work / best * 1e-9}});
  }

  BenchOptions options_;
  Context context_;
  std::unique_ptr<Ops> ops_;
  nlohmann::json report_;
};

}  // namespace psagen::kernels
