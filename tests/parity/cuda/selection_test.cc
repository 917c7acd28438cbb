// The choice of blocks on the GPU: importance against the double-precision formulas; levels, order
// and density bit for bit against the host's rules, given the importance that the GPU found.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/psa/uniform_score.h"
#include "tests/parity/cuda/selection_fixture.h"

namespace psagen::kernels {
namespace {

TEST_P(SelectionCuda, ImportanceAndLevels) {
  struct Way {
    LevelSelection selection;
    ImportanceEstimator estimator;
  };
  for (const PrepareSize& size : kPrepareSizes)
    for (const Way& way : {Way{LevelSelection::kQuota, ImportanceEstimator::kPooledLogSumExp},
                           Way{LevelSelection::kThreshold, ImportanceEstimator::kPooledLogSumExp},
                           Way{LevelSelection::kQuota, ImportanceEstimator::kStaggered}}) {
      SCOPED_TRACE(name_of(size));
      PrepareProblem p = problem(size, 3);
      build(p);
      PsaParams chosen = params(size, way.selection), capped = params(size, way.selection, true);
      chosen.estimator = capped.estimator = way.estimator;
      chosen.seed = capped.seed = kSeed;
      select_and_check(p, capped);
      PsaParams guarded = chosen;
      guarded.protected_tokens = {
          TokenSpan{0, 1}, TokenSpan{size.tokens / 2, std::min(size.tokens / 2 + 40, size.tokens)}};
      select_and_check(p, guarded);
      for (const bool portable : {false, true}) {
        SCOPED_TRACE(portable ? "portable" : "default");
        select_and_check(p, chosen, 1.0, portable);
        if (size.tokens <= 5000) expect_importance(p, way.estimator);
      }
    }
}

TEST_P(SelectionCuda, SampledImportance) {
  for (const PrepareSize& size :
       {PrepareSize{1, 521, 2, 64, 128, 128}, PrepareSize{2, 300, 1, 128, 32, 64},
        PrepareSize{1, 700, 1, 96, 64, 96}, PrepareSize{1, 500, 1, 256, 128, 256}}) {
    SCOPED_TRACE(name_of(size));
    PrepareProblem p = problem(size, 4);
    build(p);
    PsaParams sampled = params(size, LevelSelection::kThreshold);
    sampled.estimator = ImportanceEstimator::kSampled;
    sampled.seed = kSeed;
    select_and_check(p, sampled);
    const std::vector<float> importance = bytes_of<float>(p.importance);
    const std::size_t head_size = importance.size() / static_cast<std::size_t>(p.all_heads());
    for (std::int64_t head = 0; head < p.all_heads(); ++head)
      expect_relative(
          std::span(importance).subspan(static_cast<std::size_t>(head) * head_size, head_size),
          reference::sampled_importance(
              reference_problem(p, head / size.heads, head % size.heads),
              sampled_positions(sampled.seed, SampledSide::kQuery, head, size.query_block),
              sampled_positions(sampled.seed, SampledSide::kKey, head, size.key_block)),
          5e-5, concat("head ", head));
  }
}

TEST_P(SelectionCuda, HeadsMayHaveBoundsOfTheirOwn) {
  const PrepareSize size = {2, 777, 3, 128, 32, 128};
  const LevelBounds bounds[] = {{0.1, 0.2, 0.3, 0.6}, {0.1, 0.2, 0.3, 0.6}, {1.0, 1.0, 1.0, 1.0}};
  for (const LevelSelection selection : {LevelSelection::kQuota, LevelSelection::kThreshold}) {
    PrepareProblem p = problem(size, 9);
    build(p);
    PsaParams by_head = params(size, selection);
    by_head.head_bounds = bounds;
    select_and_check(p, by_head);
  }
}

// Whatever exp2 of the device rounds to, the levels are those of the scores.
TEST_P(SelectionCuda, UniformLevelsAreTheHosts) {
  const PrepareSize size = {1, 24000, 2, 64, 32, 256};
  PrepareProblem p = problem(size, 10);
  build(p);
  PsaParams uniform = params(size, LevelSelection::kQuota);
  uniform.estimator = ImportanceEstimator::kUniform;
  select_and_check(p, uniform);
  const std::vector<std::uint8_t> levels = bytes_of<std::uint8_t>(p.levels);
  const std::size_t blocks = static_cast<std::size_t>(p.key_blocks());
  std::vector<std::int32_t> sorted(blocks);
  std::vector<double> weight(blocks), cumulative(blocks);
  std::vector<float> scores(blocks);
  std::vector<std::uint8_t> wanted(blocks);
  std::size_t at = 0;
  for (std::uint32_t head = 0; head < 2; ++head)
    for (std::uint32_t i = 0; i < p.query_blocks(); ++i, at += blocks) {
      for (std::uint32_t j = 0; j < blocks; ++j) scores[j] = uniform_score(head, i, j);
      allocate_levels(scores, {}, uniform, {sorted, weight, cumulative}, wanted);
      ASSERT_EQ(0, std::memcmp(wanted.data(), levels.data() + at, blocks)) << head << ", " << i;
    }
}

// Rows whose importance is NaN have no weight anywhere; the others are not touched by them.
// The share that its mean would give counts for nothing; the other means of the block decide.
TEST_P(SelectionCuda, NotANumberInAQueryCountsForNothing) {
  for (const LevelSelection selection : {LevelSelection::kQuota, LevelSelection::kThreshold}) {
    const PrepareSize size = {1, 1000, 1, 64, 64, 128};
    PrepareProblem p = problem(size, 5);
    store(p.qkv.host.view(), 200 * 3 * 64 + 7, std::numeric_limits<float>::quiet_NaN());
    p.qkv = on_both(std::move(p.qkv.host));
    build(p);
    select_and_check(p, params(size, selection));
    const std::vector<float> importance = bytes_of<float>(p.importance);
    for (const float value : importance) ASSERT_TRUE(std::isfinite(value));
  }
}

// More heads than the scratch memory holds the scores of at once: those of the second group are
// what they are alone.
TEST_P(SelectionCuda, GroupsOfHeads) {
  if (dtype() == DType::kF32) GTEST_SKIP() << "the grouping knows no types";
  const PrepareSize size = {1, 16384, 40, 64, 32, 32};  // 4 MiB of scores a head, 32 heads a group
  constexpr std::int64_t kBefore = 32;  // heads that differ by 16 choose the same keys of eight
  PsaParams chosen = params(size, LevelSelection::kQuota);
  chosen.estimator = ImportanceEstimator::kStaggered;
  PrepareProblem all = problem(size, 6);
  build(all);
  select_and_check(all, chosen);

  PrepareSize less = size;
  less.heads = size.heads - kBefore;
  PrepareProblem last = problem(less, 7);
  const std::size_t head_bytes = static_cast<std::size_t>(size.depth) * dtype_size(dtype());
  const std::size_t bytes = static_cast<std::size_t>(less.heads) * head_bytes;
  for (std::int64_t part = 0; part < 3 * size.tokens; ++part)
    std::memcpy(last.qkv.host.view().bytes() + part * less.heads * head_bytes,
                all.qkv.host.view().bytes() + (part * size.heads + kBefore) * head_bytes, bytes);
  last.qkv = on_both(std::move(last.qkv.host));
  build(last);
  select(select_args(last, chosen), false);
  const auto of_all = bytes_of<float>(all.importance), of_last = bytes_of<float>(last.importance);
  ASSERT_LT(of_last.size(), of_all.size());
  const auto tail = of_all.end() - static_cast<std::ptrdiff_t>(of_last.size());
  EXPECT_TRUE(std::equal(of_last.begin(), of_last.end(), tail));
}

// One block far from all others, which lie close together: not all bits of such a row fit the words
// that it is sorted by.
TEST_P(SelectionCuda, OneBlockFarFromTheOthers) {
  for (const std::int64_t tokens : {8000, 15000, 30000}) {
    SCOPED_TRACE(tokens);
    const PrepareSize size = {1, tokens, 2, 64, 32, 128};
    PrepareProblem p = problem(size, 7);
    const std::int64_t part = size.heads * size.depth;
    const std::vector<double> values = reference::elements<double>(p.qkv.host);
    for (std::int64_t token = 0; token < tokens; ++token) {
      const double factor = token / 32 == 100 ? 4096.0 : 1.0 / 512.0;
      for (std::int64_t at = (3 * token + 1) * part; at < (3 * token + 2) * part; ++at)
        store(p.qkv.host.view(), at,
              static_cast<float>(factor * values[static_cast<std::size_t>(at)]));
    }
    p.qkv = on_both(std::move(p.qkv.host));
    build(p);
    const PsaParams quota = params(size, LevelSelection::kQuota);
    select_and_check(p, params(size, LevelSelection::kThreshold), 1e-3);
    select_and_check(p, quota, 1e-3);
    const std::size_t rows = static_cast<std::size_t>(p.all_heads() * p.query_blocks());
    EXPECT_GT(rows_that_words_mix_up(p, quota), rows / 3) << "of " << rows;
  }
}

// Rows of more blocks than the bitonic sort takes, for each of the three teams that then sort them
// (launch_rows() in level_allocation.cu): of up to 1,280 blocks, of up to 2,560 and of more.
TEST_P(SelectionCuda, RowsOfThousandsOfBlocks) {
  if (dtype() == DType::kF32) GTEST_SKIP() << "the levels know no types";
  struct Row {
    std::int64_t tokens, blocks;
  };
  for (const Row& row : {Row{40960, 1280}, Row{75600, 2363}, Row{100000, 3125}}) {
    const PrepareSize size = {1, row.tokens, 1, 64, 32, 256};
    SCOPED_TRACE(name_of(size));
    PrepareProblem p = problem(size, 8);
    ASSERT_EQ(p.key_blocks(), row.blocks);
    build(p);
    for (const LevelSelection selection : {LevelSelection::kQuota, LevelSelection::kThreshold}) {
      select_and_check(p, params(size, selection, true));
      // Scores of nothing but the blocks' tokens: all whole blocks alike.
      select_and_check(p, params(size, selection), 0.0);
      select_and_check(p, params(size, selection), 1.0, selection == LevelSelection::kQuota);
      expect_importance_of_last_rows(p, ImportanceEstimator::kPooledLogSumExp);
    }
    PsaParams staggered = params(size, LevelSelection::kThreshold);
    staggered.estimator = ImportanceEstimator::kStaggered;
    staggered.seed = kSeed;
    select_and_check(p, staggered);
    expect_importance_of_last_rows(p, ImportanceEstimator::kStaggered);
  }
}

PSAGEN_CUDA_PARITY(SelectionCuda);

}  // namespace
}  // namespace psagen::kernels
