#include "engine/pipeline/benchmark.h"

#include <gtest/gtest.h>

#include "engine/config/known_models.h"
#include "engine/pipeline/model_flops.h"
#include "kernels/backend.h"

namespace psagen::engine {
namespace {

TEST(PlannedFlops, AreTwoForEachMultiplyAdd) {
  const auto context =
      kernels::make_plan_context({.device = {DeviceKind::kCuda, 0}, .compute_dtype = DType::kBF16});
  const auto ops = kernels::make_ops(*context);
  const auto tensor = [&](const Shape& shape) {
    return Tensor(context->allocator(), DType::kBF16, shape);
  };
  Tensor y = tensor({1, 7, 5}), out = tensor({2, 7, 3, 64});
  ops->linear({.x = tensor({1, 7, 11}), .weight = tensor({5, 11}), .y = y});
  EXPECT_EQ(kernels::planned_flops(*ops), 2.0 * 7 * 5 * 11);
  ops->attention({.q = tensor({2, 7, 3, 64}),
                  .k = tensor({2, 9, 3, 64}),
                  .v = tensor({2, 9, 3, 64}),
                  .out = out});
  EXPECT_EQ(kernels::planned_flops(*ops), 2.0 * 7 * 5 * 11 + 4.0 * 2 * 7 * 3 * 64 * 9);
  Context host;
  EXPECT_EQ(kernels::planned_flops(*kernels::make_ops(host)), 0.0);
}

TEST(Median, OfAnEvenNumberIsBetweenTheMiddleTwo) {
  EXPECT_EQ(median({3.0, 1.0, 2.0}), 2.0);
  EXPECT_EQ(median({4.0, 1.0, 3.0, 2.0}), 2.5);
  EXPECT_EQ(median({7.0}), 7.0);
}

// Counted tap by tap in spec/wan 8, where the first latent frame's zeros are left out.
TEST(DecodeFlops, AreThoseOfTheSpecification) {
  const VaeConfig vae = known_model("wan2.1-1.3b").vae;
  const double teraflops = decode_flops(vae, {1, 16, 21, 60, 104}) / 1e12;  // 832x480x81
  EXPECT_GE(teraflops, 275.0);
  EXPECT_LE(teraflops, 275.4 * 1.05);
}

}  // namespace
}  // namespace psagen::engine
