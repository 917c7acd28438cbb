// Laws of importance (spec psa.md section 2, 11.11): every estimator against its double reference,
// and masks against the host rule.
#include <numeric>

#include "kernels/psa/sampling.h"
#include "tests/property/psa/selection_law.h"

namespace psagen::kernels {
namespace {

class Importance : public SelectionLaw {};

// What `truth(head)` gives, for each of the heads one after the other; and the mask that follows.
template <typename Truth>
void expect_importance(PsaProblem& problem, const PsaParams& params,
                       const std::vector<float>& importance, const Truth& truth_of) {
  for (std::int64_t head = 0; head < problem.size().heads; ++head) {
    const std::vector<double> truth = truth_of(head);
    const std::span<const float> found =
        std::span(importance).subspan(static_cast<std::size_t>(head) * truth.size(), truth.size());
    for (std::size_t i = 0; i < truth.size(); ++i)
      ASSERT_NEAR(found[i], truth[i], 5e-6 * truth[i]) << "head " << head << " pair " << i;
  }
  expect_mask_follows_importance(problem, params, importance);
}

TEST_P(Importance, PooledImportanceMatchesTheReference) {
  for (const std::int64_t tokens : {std::int64_t{5}, n(), 7 * n() + 3, std::int64_t{1100}}) {
    ProblemSize s = size(tokens);
    s.heads = 2;
    PsaProblem problem(s, static_cast<std::uint64_t>(tokens));
    SCOPED_TRACE(concat("tokens ", tokens));
    problem.build();
    const PsaParams p = params(LevelSelection::kQuota, kQuotaBounds);
    expect_importance(problem, p, values_of(problem.select(p)), [&](std::int64_t head) {
      return reference::pooled_importance(problem.reference_problem(0, head));
    });
  }
}

TEST_P(Importance, StaggeredImportanceMatchesTheReference) {
  for (const std::int64_t tokens : {std::int64_t{5}, n(), 7 * n() + 3, std::int64_t{700}})
    for (const int query_block : {32, 96, 128, 256}) {
      ProblemSize s = size(tokens);
      s.heads = 2;
      s.query_block = query_block;
      PsaProblem problem(s, static_cast<std::uint64_t>(tokens));
      SCOPED_TRACE(concat("tokens ", tokens, " query block ", query_block));
      problem.build();
      PsaParams p = params(LevelSelection::kQuota, kQuotaBounds);
      p.query_block = query_block;
      p.estimator = ImportanceEstimator::kStaggered;
      p.seed = 1234567890123;
      expect_importance(problem, p, values_of(problem.select(p)), [&](std::int64_t head) {
        return reference::staggered_importance(problem.reference_problem(0, head),
                                               static_cast<std::int64_t>(p.seed % 16) + head);
      });
    }
}

// Every pair comes up with some seed, and every one as often as the others.
TEST(StaggeredPair, EachComesUpFourTimesInSixteenSeeds) {
  for (const int head : {0, 1, 39})
    for (int group = 0; group < 40; ++group) {
      std::array<int, 4> times{};
      for (std::uint64_t seed = 5; seed < 21; ++seed)
        ++times[static_cast<std::size_t>(staggered_pair(seed, head, group))];
      for (const int count : times) EXPECT_EQ(count, 4) << "head " << head << " group " << group;
    }
}

TEST_P(Importance, SampledImportanceMatchesTheReference) {
  for (const std::int64_t tokens : {std::int64_t{5}, n(), 7 * n() + 3, std::int64_t{700}}) {
    ProblemSize s = size(tokens);
    s.heads = 2;
    PsaProblem problem(s, static_cast<std::uint64_t>(tokens));
    SCOPED_TRACE(concat("tokens ", tokens));
    // Of unrelated queries each block holds one that likes best any other block: importance would
    // be the same everywhere.
    make_smooth(problem, problem.q);
    make_smooth(problem, problem.k);
    problem.build();
    PsaParams p = params(LevelSelection::kThreshold, kThresholdBounds);
    p.estimator = ImportanceEstimator::kSampled;
    p.seed = 1234567890123;
    const std::vector<float> importance = values_of(problem.select(p));
    expect_importance(problem, p, importance, [&](std::int64_t head) {
      return reference::sampled_importance(
          problem.reference_problem(0, head),
          sampled_positions(p.seed, SampledSide::kQuery, head, p.query_block),
          sampled_positions(p.seed, SampledSide::kKey, head, p.key_block));
    });
    if (tokens > n()) {
      EXPECT_LT(*std::ranges::min_element(importance), 0.5 * *std::ranges::max_element(importance));
    }
  }
}

// Query blocks of 64 and 32 share a task of the CPU back end, but never their samples.
TEST_P(Importance, SampledImportanceOfSmallQueryBlocks) {
  for (const int query_block : {32, 64, 96}) {
    ProblemSize s = size(5 * n() + 40);
    s.query_block = query_block;
    PsaProblem problem(s, 71);
    SCOPED_TRACE(concat("query block ", query_block));
    make_smooth(problem, problem.q);
    make_smooth(problem, problem.k);
    problem.build();
    PsaParams p = params(LevelSelection::kQuota, kQuotaBounds);
    p.query_block = query_block;
    p.estimator = ImportanceEstimator::kSampled;
    const std::vector<float> importance = values_of(problem.select(p));
    const auto truth = reference::sampled_importance(
        problem.reference_problem(0, 0),
        sampled_positions(p.seed, SampledSide::kQuery, 0, query_block),
        sampled_positions(p.seed, SampledSide::kKey, 0, p.key_block));
    for (std::size_t i = 0; i < truth.size(); ++i)
      ASSERT_NEAR(importance[i], truth[i], 5e-6 * truth[i]) << "pair " << i;
  }
}

TEST_P(Importance, AnotherSeedSamplesOtherTokens) {
  PsaProblem problem(size(6 * n()), 2);
  make_smooth(problem, problem.q);
  make_smooth(problem, problem.k);
  problem.build();
  for (const auto estimator : {ImportanceEstimator::kSampled, ImportanceEstimator::kStaggered}) {
    PsaParams p = params(LevelSelection::kQuota, kQuotaBounds);
    p.estimator = estimator;
    const std::vector<float> first = values_of(problem.select(p));
    EXPECT_EQ(values_of(problem.select(p)), first);
    p.seed = 1;
    EXPECT_NE(values_of(problem.select(p)), first);
  }
}

TEST_P(Importance, RowsSumToOneAndShiftingKeysDoesNotMatter) {
  for (const auto estimator : {ImportanceEstimator::kPooledLogSumExp,
                               ImportanceEstimator::kStaggered, ImportanceEstimator::kSampled}) {
    PsaProblem problem(size(9 * n() + 4), 6);
    PsaParams p = params(LevelSelection::kThreshold, kThresholdBounds);
    p.estimator = estimator;
    problem.build();
    const std::vector<float> before = values_of(problem.select(p));
    const std::ptrdiff_t blocks = static_cast<std::ptrdiff_t>(problem.key_blocks());
    for (auto row = before.begin(); row != before.end(); row += blocks)
      EXPECT_NEAR(std::accumulate(row, row + blocks, 0.0), 1.0, 1e-6);
    for (std::int64_t t = 0; t < problem.size().tokens; ++t)
      for (float& value : problem.row(problem.k, t)) value += 0.75f;
    problem.build();
    const std::vector<float> after = values_of(problem.select(p));
    for (std::size_t i = 0; i < after.size(); ++i)
      ASSERT_NEAR(after[i], before[i], 2e-5 * before[i]);
  }
}

INSTANTIATE_TEST_SUITE_P(All, Importance, law_configs(), law_config_name);

}  // namespace
}  // namespace psagen::kernels
