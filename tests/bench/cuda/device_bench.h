// What the benches of the GPU's ops share: a context in bf16, random tensors, and times of calls
// queued after each other, a JSON object a line.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace psagen::kernels {

class DeviceBench {
 public:
  // Runs only the cases with `part` in their names, by the portable kernels where told so.
  explicit DeviceBench(std::string part, bool portable = false)
      : part_(std::move(part)),
        context_(make_context({.device = {DeviceKind::kCuda, 0},
                               .compute_dtype = DType::kBF16,
                               .portable_kernels = portable})),
        ops_(make_ops(*context_)) {
    std::printf("{\"device\": \"%s\", \"kernels\": \"%s\"}\n",
                context_->runtime()->info().name.c_str(), portable ? "portable" : "default");
  }

  Ops& ops() { return *ops_; }
  bool wants(const std::string& name) const { return name.find(part_) != std::string::npos; }

  Tensor empty(Shape shape, DType dtype = DType::kBF16) {
    return Tensor(context_->allocator(), dtype, shape);
  }

  // Near enough to normal: what the multipliers see decides the chip's power and clock. A million
  // values over and over.
  Tensor random(Shape shape, DType dtype = DType::kBF16, double deviation = 1.0) {
    Tensor result = empty(shape, dtype);
    const std::int64_t count = shape.num_elements(), block = std::min<std::int64_t>(count, 1 << 20);
    if (count == 0) return result;
    Tensor host(host_memory_, DType::kF32, {block});
    for (std::int64_t i = 0; i < block; ++i) {
      double sum = 0.0;
      for (int part = 0; part < 4; ++part) {
        state_ = state_ * 6364136223846793005u + 1442695040888963407u;
        sum += static_cast<double>(state_ >> 40) * 0x1p-24 - 0.5;
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

  // What one call does, and how its rate is reported.
  struct Work {
    double amount;
    const char* unit;
    double scale;  // of the unit to the amount a microsecond
  };
  static Work bytes(double count) { return {count, "gb_per_s", 1e-3}; }
  static Work flop(double count) { return {count, "tflop_per_s", 1e-6}; }

  // Returns the microseconds of a call.
  double run(const std::string& name, const Work& work, const std::function<void()>& call) {
    const double first = microseconds(call, 1);
    const int calls = static_cast<int>(std::clamp(2e5 / microseconds(call, 2), 2.0, 1000.0));
    std::vector<double> rounds;
    for (int i = 0; i < 5; ++i) rounds.push_back(microseconds(call, calls));
    std::sort(rounds.begin(), rounds.end());
    std::printf(
        "{\"case\": \"%s\", \"us\": %.2f, \"best_us\": %.2f, \"%s\": %.1f, \"first_call_ms\": "
        "%.2f}\n",
        name.c_str(), rounds[2], rounds[0], work.unit, work.amount / rounds[2] * work.scale,
        first * 1e-3);
    std::fflush(stdout);
    return rounds[2];
  }

 private:
  // Of one call, `calls` of them queued after each other.
  double microseconds(const std::function<void()>& call, int calls) {
    context_->runtime()->synchronize();
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < calls; ++i) call();
    context_->runtime()->synchronize();
    const std::chrono::duration<double, std::micro> time = std::chrono::steady_clock::now() - start;
    return time.count() / calls;
  }

  std::string part_;
  CpuAllocator host_memory_;
  std::unique_ptr<Context> context_;
  std::unique_ptr<Ops> ops_;
  std::uint64_t state_ = 1;
};

}  // namespace psagen::kernels
