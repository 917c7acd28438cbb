// What levels do to the answer of sparse attention (spec psa.md 11.8, 11.9, 11.17) on the GPU.
#include <algorithm>
#include <cmath>

#include "kernels/psa/level_allocation.h"
#include "tests/parity/cuda/sparse_attention_fixture.h"

namespace psagen::kernels {
namespace {

class SparseAttentionLevelsCuda : public SparseAttentionCuda {
 protected:
  // |x - truth| / |truth|.
  static double relative_error(const std::vector<double>& x, const std::vector<double>& truth) {
    double error = 0.0, norm = 0.0;
    for (std::size_t i = 0; i < truth.size(); ++i) {
      error += (x[i] - truth[i]) * (x[i] - truth[i]);
      norm += truth[i] * truth[i];
    }
    return std::sqrt(error / norm);
  }

  // Of the call at these levels, alike for every query block, against all blocks at level 1.
  template <typename Level>
  double error_against_dense(SparseCall& call, bool portable, const Level& level) {
    call.set_levels([](auto...) { return 1; });
    const Result dense = run(call, portable, Pooling::kDevice);
    call.set_levels([&](std::int64_t, std::int64_t block) { return level(block); });
    return relative_error(run(call, portable, Pooling::kDevice).out, dense.out);
  }

  // Of unit variance, like those next to them along the sequence.
  static void fill_smooth(SparseCall& call, int part) {
    const double unit = std::sqrt(3.0);
    std::vector<double> walk(static_cast<std::size_t>(call.size.heads * call.size.depth));
    call.fill(part, [&](std::int64_t, std::int64_t t, std::int64_t n, std::int64_t d) {
      double& value = walk[static_cast<std::size_t>(n * call.size.depth + d)];
      const double step = call.real(-unit, unit);
      return value = t == 0 ? step : 0.9 * value + 0.436 * step;
    });
  }

  // The levels of the official code for one row of importance, key blocks of 128.
  static SparseCall::Levels official_levels(const std::vector<float>& importance) {
    PsaParams params;
    params.selection = LevelSelection::kThreshold;
    params.level_bounds = {0.4, 0.5, 0.6, 0.8};
    const std::size_t blocks = importance.size();
    std::vector<std::int32_t> order(blocks);
    std::vector<double> weight(blocks), cumulative(blocks);
    SparseCall::Levels levels(blocks);
    allocate_levels(importance, {}, params, {order, weight, cumulative}, levels,
                    official_rounding(params.key_block));
    return levels;
  }
};

// Pooling loses mass, never gains it; one more block adds some.
TEST_P(SparseAttentionLevelsCuda, LseFallsWithCoarserLevelsAndRisesWithMoreBlocks) {
  for (const int key_block : {128, 64, 32})
    for (const std::int64_t depth : {64, 128}) {
      SparseCall call({.tokens = 6 * 128 + 40, .depth = depth, .key_block = key_block}, dtype(),
                      70);
      for (const int part : {0, 1}) call.fill(part, [&](auto...) { return call.eighth(); });
      for (const bool portable : {false, true}) {
        call.set_levels([](auto...) { return 0; });
        std::vector<double> before;
        for (std::int64_t block = 0; block < call.size.key_blocks(); ++block)
          for (const int level : {8, 4, 2, 1}) {
            for (std::int64_t row = 0; row < call.size.rows(); ++row)
              call.levels[static_cast<std::size_t>(row * call.size.key_blocks() + block)] =
                  static_cast<std::uint8_t>(level);
            const std::vector<double> lse = run(call, portable, Pooling::kDevice).lse;
            const bool more = level == 8 && block > 0;
            for (std::size_t i = 0; i < before.size(); ++i) {
              if (more) {
                ASSERT_GT(lse[i], before[i]) << call.size << ", block " << block;
              } else {
                ASSERT_GE(lse[i], before[i] - 2e-6) << call.size << ", block " << block;
              }
            }
            before = lse;
          }
      }
    }
}

// Not a law of every input: these keys change slowly along the sequence, and heads are averaged.
TEST_P(SparseAttentionLevelsCuda, FinerLevelsAreCloserToDenseOnSmoothKeys) {
  std::uint64_t seed = 80;
  for (const int key_block : {128, 64, 32})
    for (const std::int64_t depth : {64, 128}) {
      SparseCall call({.tokens = 8 * key_block, .heads = 2, .depth = depth, .key_block = key_block},
                      dtype(), ++seed);
      call.fill(0, [&](auto...) { return call.real(-3.5, 3.5); });
      for (const int part : {1, 2}) fill_smooth(call, part);
      for (const bool portable : {false, true}) {
        SCOPED_TRACE(concat(call.size, portable ? ", portable" : ""));
        const auto error = [&](int even, int odd) {
          return error_against_dense(
              call, portable, [&](std::int64_t block) { return block % 2 == 0 ? even : odd; });
        };
        const double eighth = error(8, 8), quarter = error(4, 4), half = error(2, 2);
        EXPECT_LT(quarter, 0.7 * eighth);
        EXPECT_LT(half, 0.7 * quarter);
        // Every other block alone.
        const double to_quarter = error(8, 4), to_half = error(4, 2);
        EXPECT_LT(to_quarter, 0.95 * eighth);
        EXPECT_LT(quarter, 0.95 * to_quarter);
        EXPECT_LT(to_half, 0.95 * quarter);
        EXPECT_LT(half, 0.95 * to_half);
        EXPECT_LT(error(2, 1), 0.95 * half);
        EXPECT_GT(error(8, 0), 1.5 * eighth);  // skipped is worse than pooled
      }
    }
}

TEST_P(SparseAttentionLevelsCuda, PoolingUnrelatedKeysIsVisiblyBad) {
  std::uint64_t seed = 90;
  for (const int key_block : {128, 64, 32})
    for (const std::int64_t depth : {64, 128}) {
      SparseCall call({.tokens = 8 * key_block, .heads = 2, .depth = depth, .key_block = key_block},
                      dtype(), ++seed);
      for (const bool portable : {false, true})
        for (const int level : {4, 8})
          EXPECT_GT(error_against_dense(call, portable, [&](auto) { return level; }), 0.5)
              << call.size << (portable ? ", portable" : "") << ", level " << level;
    }
}

// Levels that the official rule gives, with its share of full blocks and its pairs of blocks at
// level 8. Where n divides L its kernel is right, and so must ours be with its levels.
TEST_P(SparseAttentionLevelsCuda, OfficialLevelsOfBlocksOf128) {
  const std::vector<float> hand_row = {0.5f, 0.3f, 0.1f, 0.06f, 0.04f};  // spec psa.md 11.11
  ASSERT_EQ(official_levels(hand_row), (SparseCall::Levels{1, 2, 8, 8, 0}));
  for (const std::int64_t blocks : {5, 9})
    for (const std::int64_t depth : {64, 128}) {
      SparseCall call({.tokens = blocks * 128, .depth = depth}, dtype(), 95);
      for (std::int64_t row = 0; row < call.size.rows(); ++row) {
        std::vector<float> importance;
        for (std::int64_t j = 0; j < blocks; ++j)
          importance.push_back(blocks == 5 ? hand_row[static_cast<std::size_t>((j + row) % 5)]
                                           : static_cast<float>(std::exp(call.real(-3.0, 0.0))));
        std::ranges::copy(official_levels(importance), call.levels.begin() + row * blocks);
      }
      const SparseAnswer truth = call.truth();
      check(call, "official levels", Pooling::kDevice);
      for (const bool portable : {false, true})
        EXPECT_LE(relative_error(run(call, portable, Pooling::kDevice).out, truth.out), 5e-3)
            << call.size << (portable ? ", portable" : "");
    }
}

PSAGEN_CUDA_PARITY(SparseAttentionLevelsCuda);

}  // namespace
}  // namespace psagen::kernels
