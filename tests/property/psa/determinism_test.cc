// Same seed, same bits (spec psa.md 11.16): run after run, for any number of threads, and beside
// another pipeline.
#include <gtest/gtest.h>

#include <thread>

#include "kernels/psa/pyramid_sparse_attention.h"
#include "tests/property/psa/psa_law.h"

namespace psagen::kernels {
namespace {

class Determinism : public PsaLaw {
 protected:
  struct Result {
    std::vector<float> out, lse, nominal, executed;
    bool operator==(const Result&) const = default;
  };

  Result compute(int threads, ImportanceEstimator estimator) const {
    ProblemSize s = size(7 * n() + 7);
    s.heads = 2;
    s.threads = threads;
    PsaProblem problem(s, 99);
    PsaParams params;
    params.key_block = GetParam().key_block;
    params.estimator = estimator;
    params.selection = LevelSelection::kThreshold;  // rows of different lengths
    params.level_bounds = {0.4, 0.5, 0.6, 0.8};
    params.similarity_cap = true;
    PyramidSparseAttention psa(problem.ops(), 1, s.tokens, s.heads, s.depth, params);
    Result result;
    for (int repeat = 0; repeat < 2; ++repeat) {
      psa.forward(problem.ops(), problem.q, problem.k, problem.v, problem.scale(), {.seed = 5},
                  problem.out, problem.lse,
                  {.nominal = problem.nominal, .executed = problem.executed});
      const Result now = {values_of(problem.out), values_of(problem.lse),
                          values_of(problem.nominal), values_of(problem.executed)};
      if (repeat > 0) {
        EXPECT_TRUE(now == result) << "the second run differs";
      }
      result = now;
    }
    return result;
  }
};

TEST_P(Determinism, ThreadsDoNotChangeABit) {
  for (const auto estimator : {ImportanceEstimator::kPooledLogSumExp,
                               ImportanceEstimator::kStaggered, ImportanceEstimator::kSampled}) {
    const Result one = compute(1, estimator);
    EXPECT_TRUE(compute(2, estimator) == one);
    EXPECT_TRUE(compute(3, estimator) == one);
  }
}

TEST_P(Determinism, PipelinesSideBySideDoNotDisturbEachOther) {
  const Result alone = compute(2, ImportanceEstimator::kPooledLogSumExp);
  Result left, right;
  std::thread other([&] { left = compute(2, ImportanceEstimator::kPooledLogSumExp); });
  right = compute(2, ImportanceEstimator::kPooledLogSumExp);
  other.join();
  EXPECT_TRUE(left == alone);
  EXPECT_TRUE(right == alone);
}

INSTANTIATE_TEST_SUITE_P(All, Determinism, law_configs(), law_config_name);

}  // namespace
}  // namespace psagen::kernels
