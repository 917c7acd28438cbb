#include "engine/dit/attention_policy.h"

#include <gmock/gmock.h>

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
    EXPECT_EQ(choose_attention({}, {.step = step, .num_steps = 10}, 0, 2).kind,
              AttentionKind::kDense);
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
    EXPECT_EQ(choose_attention(config, {.step = step, .num_steps = 10}, 3, 2).kind,
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
        seeds.insert(choose_attention(config, {.step = step, .num_steps = 20}, layer, 2).seed);
  }
  EXPECT_EQ(seeds.size(), 3u * 20u * 20u);
}

constexpr kernels::LevelBounds kFull = {1.0, 1.0, 1.0, 1.0};
constexpr kernels::LevelBounds kHalf = {0.5, 0.5, 0.5, 0.5};

AttentionOverride entry(std::vector<IndexRange> layers, std::vector<IndexRange> heads,
                        std::vector<IndexRange> steps, const kernels::LevelBounds& bounds) {
  return {std::move(layers), std::move(heads), std::move(steps), bounds};
}

AttentionChoice choice_of(const AttentionConfig& config, std::int64_t step, std::int64_t layer,
                          std::int64_t forward = 0) {
  return choose_attention(
      config, {.step = step, .num_steps = 10, .forward = forward, .num_forwards = 2}, layer, 2);
}

TEST(AttentionPolicyTest, WithoutOverridesNoHeadHasBoundsOfItsOwn) {
  EXPECT_TRUE(choice_of(pyramid(0.0), 5, 0).head_bounds.empty());
}

TEST(AttentionPolicyTest, TheLastMatchingOverrideWins) {
  AttentionConfig config = pyramid(0.0);
  config.overrides = {entry({{0, 3}}, {}, {}, kFull), entry({{2, 2}}, {}, {}, kHalf),
                      entry({}, {}, {{7, 9}}, kFull)};
  EXPECT_EQ(choice_of(config, 0, 0).kind, AttentionKind::kDense);
  EXPECT_EQ(choice_of(config, 0, 3).kind, AttentionKind::kDense);
  EXPECT_EQ(choice_of(config, 0, 4).kind, AttentionKind::kPyramid);
  EXPECT_TRUE(choice_of(config, 0, 4).head_bounds.empty());
  EXPECT_THAT(choice_of(config, 6, 2).head_bounds, ::testing::ElementsAre(kHalf, kHalf));
  EXPECT_EQ(choice_of(config, 7, 2).kind, AttentionKind::kDense);
}

TEST(AttentionPolicyTest, OneDenseHeadHasAllItsBlocksAtLevelOne) {
  AttentionConfig config = pyramid(0.0);
  config.overrides = {entry({}, {{1, 1}}, {}, kFull)};
  EXPECT_EQ(choice_of(config, 0, 0).kind, AttentionKind::kPyramid);
  EXPECT_THAT(choice_of(config, 0, 0).head_bounds,
              ::testing::ElementsAre(config.psa.level_bounds, kFull));
  config.overrides.push_back(entry({}, {{0, 0}}, {{4, 4}}, kFull));
  EXPECT_EQ(choice_of(config, 4, 0).kind, AttentionKind::kDense) << "both heads are";
}

TEST(AttentionPolicyTest, WarmupStepsKnowNoOverrides) {
  AttentionConfig config = pyramid(0.3);
  config.overrides = {entry({}, {}, {{0, 9}}, kHalf)};
  EXPECT_EQ(choice_of(config, 2, 0).kind, AttentionKind::kDense);
  EXPECT_THAT(choice_of(config, 3, 0).head_bounds, ::testing::ElementsAre(kHalf, kHalf));
}

std::string reuse_by_step(const AttentionConfig& config, std::int64_t forward = 0) {
  std::string text;  // d dense, c chosen, r reused
  for (std::int64_t step = 0; step < 10; ++step) {
    const AttentionChoice choice = choice_of(config, step, 1, forward);
    text += choice.kind == AttentionKind::kDense ? 'd' : choice.reuse ? 'r' : 'c';
  }
  return text;
}

TEST(AttentionPolicyTest, LevelsServeAsManyStepsAsAskedFor) {
  AttentionConfig config = pyramid(0.2);
  EXPECT_EQ(reuse_by_step(config), "ddcccccccc");
  config.reuse_steps = 3;
  EXPECT_EQ(reuse_by_step(config), "ddcrrcrrcr");
  EXPECT_EQ(reuse_by_step(config, 1), "ddcrrcrrcr");
  // A dense step does not count; other bounds need other levels.
  config.overrides = {entry({}, {}, {{4, 4}}, kFull)};
  EXPECT_EQ(reuse_by_step(config), "ddcrdrcrrc");
  config.overrides = {entry({}, {}, {{4, 5}}, kHalf)};
  EXPECT_EQ(reuse_by_step(config), "ddcrcrcrrc");
}

TEST(AttentionPolicyTest, TheSecondForwardTakesTheLevelsOfTheFirst) {
  AttentionConfig config = pyramid(0.2);
  config.reuse_across_guidance = true;
  EXPECT_EQ(reuse_by_step(config, 0), "ddcccccccc");
  EXPECT_EQ(reuse_by_step(config, 1), "ddrrrrrrrr");
  config.reuse_steps = 2;
  EXPECT_EQ(reuse_by_step(config, 0), "ddcrcrcrcr");
  EXPECT_EQ(reuse_by_step(config, 1), "ddrrrrrrrr");
}

TEST(AttentionPolicyTest, EveryKeptChoiceHasASlotOfItsOwn) {
  AttentionConfig config = pyramid(0.0);
  EXPECT_EQ(num_level_slots(config, 5, 2), 0);
  EXPECT_EQ(choice_of(config, 0, 4, 1).slot, 0);
  config.reuse_steps = 2;
  ASSERT_EQ(num_level_slots(config, 5, 2), 10);
  std::set<std::int64_t> slots;
  for (std::int64_t layer = 0; layer < 5; ++layer)
    for (std::int64_t forward = 0; forward < 2; ++forward)
      slots.insert(choice_of(config, 0, layer, forward).slot);
  EXPECT_EQ(slots.size(), 10u);
  EXPECT_EQ(*slots.rbegin(), 9);
  config.reuse_across_guidance = true;
  EXPECT_EQ(num_level_slots(config, 5, 2), 5);
  EXPECT_EQ(choice_of(config, 0, 4, 0).slot, choice_of(config, 0, 4, 1).slot);
}

}  // namespace
}  // namespace psagen::engine
