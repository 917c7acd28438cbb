#include "engine/dit/attention_policy.h"

#include <gtest/gtest.h>

#include <set>

namespace psagen::engine {
namespace {

AttentionConfig pyramid(double share) {
  AttentionConfig config;
  config.kind = AttentionKind::kPyramid;
  config.warmup_share = share;
  return config;
}

TEST(AttentionPolicyTest, DenseIsDenseAtEveryStep) {
  for (std::int64_t step = 0; step < 10; ++step)
    EXPECT_EQ(choose_attention({}, {.step = step, .num_steps = 10}, 0).kind, AttentionKind::kDense);
}

// The presets keep 15 of 50 and 12 of 40 steps dense (psa.md 5.1).
TEST(AttentionPolicyTest, WarmupIsItsShareOfTheStepsRoundedUp) {
  EXPECT_EQ(num_warmup_steps(pyramid(0.3), 50), 15);
  EXPECT_EQ(num_warmup_steps(pyramid(0.3), 40), 12);
  EXPECT_EQ(num_warmup_steps(pyramid(0.3), 1), 1);
  EXPECT_EQ(num_warmup_steps(pyramid(0.25), 50), 13);
  EXPECT_EQ(num_warmup_steps(pyramid(0.0), 50), 0);
  EXPECT_EQ(num_warmup_steps(pyramid(1.0), 50), 50);
}

TEST(AttentionPolicyTest, ACountOfWarmupStepsOverridesTheShare) {
  AttentionConfig config = pyramid(0.3);
  config.warmup_steps = 0;
  EXPECT_EQ(num_warmup_steps(config, 50), 0);
  config.warmup_steps = 60;
  EXPECT_EQ(num_warmup_steps(config, 50), 50);
}

TEST(AttentionPolicyTest, StepsAfterTheWarmupAreSparse) {
  const AttentionConfig config = pyramid(0.3);
  for (std::int64_t step = 0; step < 10; ++step)
    EXPECT_EQ(choose_attention(config, {.step = step, .num_steps = 10}, 3).kind,
              step < 3 ? AttentionKind::kDense : AttentionKind::kPyramid)
        << "step " << step;
}

TEST(AttentionPolicyTest, SeedsDifferByStepLayerAndRun) {
  std::set<std::uint64_t> seeds;
  for (std::uint64_t run = 0; run < 3; ++run) {
    AttentionConfig config = pyramid(0.0);
    config.psa.seed = run;
    for (std::int64_t step = 0; step < 20; ++step)
      for (std::int64_t layer = 0; layer < 20; ++layer)
        seeds.insert(choose_attention(config, {.step = step, .num_steps = 20}, layer).seed);
  }
  EXPECT_EQ(seeds.size(), 3u * 20u * 20u);
}

}  // namespace
}  // namespace psagen::engine
