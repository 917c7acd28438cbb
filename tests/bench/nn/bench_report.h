// What the network benchmarks share: times of repeated calls, a table on the screen, JSON in a
// file.
//
//   bench_x [--benchmark_filter=REGEX] [--benchmark_out=FILE] [--rounds=N] [--threads=N]
//           [--clock=wall|cpu]
//
// The JSON is that of Google Benchmark, one entry a round, so scripts/compare_bench.py reads it.
// The CPU clock counts the calling thread only: with one thread it gives usable figures on a
// machine that is busy with other work.
#pragma once

#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/simd_target.h"

namespace psagen::kernels {

struct BenchOptions {
  std::regex filter{"."};
  std::string json;
  int rounds = 7;
  int threads = 0;
  bool cpu_clock = false;
};

inline BenchOptions parse_bench_options(int argc, char** argv) {
  BenchOptions options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const std::size_t equals = std::min(argument.find('='), argument.size() - 1);
    const std::string name = argument.substr(0, equals), value = argument.substr(equals + 1);
    if (name == "--benchmark_filter") {
      options.filter = value;
    } else if (name == "--benchmark_out") {
      options.json = value;
    } else if (name == "--rounds") {
      options.rounds = std::max(1, std::stoi(value));
    } else if (name == "--threads") {
      options.threads = std::stoi(value);
    } else if (name == "--clock") {
      options.cpu_clock = value == "cpu";
    } else if (argument != "--benchmark_out_format=json") {
      std::fprintf(stderr, "%s: unknown option %s\n", argv[0], argv[i]);
      std::exit(2);
    }
  }
  return options;
}

class Bench {
 public:
  Bench(const std::string& name, const BenchOptions& options)
      : options_(options),
        context_({.device = {}, .num_threads = options.threads}),
        ops_(make_ops(context_)) {
    report_ = {{"context",
                {{"executable", name},
                 {"threads", context_.num_threads()},
                 {"simd", cpu::simd_target_name()},
                 {"clock", options.cpu_clock ? "cpu" : "wall"}}},
               {"benchmarks", nlohmann::json::array()}};
    std::printf("%s: %d threads, %s\n%-34s %10s %10s %10s\n", name.c_str(), context_.num_threads(),
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
  void compare(std::vector<Way> ways) {
    std::erase_if(ways,
                  [&](const Way& way) { return !std::regex_search(way.name, options_.filter); });
    std::vector<std::vector<double>> seconds(ways.size());
    for (const Way& way : ways) way.run();
    for (int round = 0; round < options_.rounds; ++round) {
      for (std::size_t i = 0; i < ways.size(); ++i) {
        const double start = now();
        ways[i].run();
        seconds[i].push_back(now() - start);
      }
    }
    for (std::size_t i = 0; i < ways.size(); ++i) record(ways[i], seconds[i]);
  }

 private:
  double now() const {
    timespec time{};
    clock_gettime(options_.cpu_clock ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  }

  void record(const Way& way, std::vector<double>& seconds) {
    std::sort(seconds.begin(), seconds.end());
    const double best = seconds.front(), median = seconds[seconds.size() / 2];
    std::printf("%-34s %10.3f %10.3f %10.1f\n", way.name.c_str(), best * 1e3, median * 1e3,
                way.work / best * 1e-9);
    for (const double time : seconds) {
      report_["benchmarks"].push_back({{"name", way.name},
                                       {"run_name", way.name},
                                       {"run_type", "iteration"},
                                       {"iterations", 1},
                                       {"real_time", time},
                                       {"cpu_time", time},
                                       {"time_unit", "s"},
                                       {"flop_per_second", way.work / time}});
    }
  }

  BenchOptions options_;
  Context context_;
  std::unique_ptr<Ops> ops_;
  nlohmann::json report_;
};

}  // namespace psagen::kernels
