// Queries, keys and values of a layer, drawn at random, on the CPU or on a GPU made of host memory.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "engine/dit/attention_probe.h"
#include "kernels/backend.h"
#include "tests/support/host_runtime.h"

namespace psagen::testing {

class RandomAttention {
 public:
  explicit RandomAttention(bool on_device = false)
      : context_(on_device ? make_host_runtime_context(1) : std::make_unique<Context>()),
        ops_(kernels::make_ops(*context_)) {
    std::mt19937 random(7);
    std::normal_distribution<float> normal;
    for (int i = 0; i < 3; ++i) {
      for (float& value : values_[i]) value = normal(random);
      tensors_[i] = Tensor(context_->allocator(), DType::kF32, kShape);
      ops_->copy(ConstTensorView(reinterpret_cast<const std::byte*>(values_[i].data()), DType::kF32,
                                 kShape, Device{}),
                 tensors_[i]);
    }
  }

  static constexpr std::int64_t kTokens = 300, kHeads = 2, kDepth = 16;
  static constexpr double kScale = 0.25;

  kernels::Ops& ops() { return *ops_; }
  engine::AttentionInputs inputs() {
    return {.q = tensors_[0], .k = tensors_[1], .v = tensors_[2], .scale = kScale};
  }
  // 0: q, 1: k, 2: v.
  double value(int which, std::int64_t token, std::int64_t head, std::int64_t d) const {
    return static_cast<double>(
        values_[which][static_cast<std::size_t>((token * kHeads + head) * kDepth + d)]);
  }

 private:
  const Shape kShape = {1, kTokens, kHeads, kDepth};
  std::unique_ptr<Context> context_;
  std::unique_ptr<kernels::Ops> ops_;
  std::vector<float> values_[3] = {std::vector<float>(kTokens * kHeads * kDepth),
                                   std::vector<float>(kTokens* kHeads* kDepth),
                                   std::vector<float>(kTokens* kHeads* kDepth)};
  Tensor tensors_[3];
};

}  // namespace psagen::testing
