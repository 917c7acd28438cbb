// Laws of where a call's levels come from besides one rule for all: bounds by head, a hash, an
// earlier call.
#include <gtest/gtest.h>

#include "kernels/psa/pyramid_sparse_attention.h"
#include "kernels/psa/uniform_score.h"
#include "tests/property/psa/psa_law.h"

namespace psagen::kernels {
namespace {

class LevelSource : public PsaLaw {
 protected:
  PsaParams params(LevelSelection selection, const LevelBounds& bounds) const {
    PsaParams params;
    params.key_block = GetParam().key_block;
    params.selection = selection;
    params.level_bounds = bounds;
    return params;
  }
};

// Each head as if all had its bounds.
TEST_P(LevelSource, HeadsMayHaveBoundsOfTheirOwn) {
  const LevelBounds bounds[] = {{0.1, 0.2, 0.3, 0.6}, {1.0, 1.0, 1.0, 1.0}, {0.3, 0.3, 0.3, 0.3}};
  for (const LevelSelection rule : {LevelSelection::kQuota, LevelSelection::kThreshold}) {
    ProblemSize s = size(9 * n() + 5);
    s.heads = 3;
    s.batch = 2;
    PsaProblem problem(s, 31);
    problem.build();
    PsaParams p = params(rule, {0.10, 0.20, 0.30, 0.60});
    p.head_bounds = bounds;
    problem.select(p);
    const LevelMap by_head = problem.mask;
    for (std::int64_t head = 0; head < 3; ++head) {
      problem.select(params_of_head(p, head));
      for (std::int64_t batch = 0; batch < 2; ++batch)
        for (std::int64_t i = 0; i < problem.query_blocks(); ++i) {
          const std::int64_t row = problem.mask.row(batch, head, i);
          PsaProblem::Levels levels(static_cast<std::size_t>(problem.key_blocks()));
          by_head.get_row(row, levels);
          ASSERT_EQ(levels, problem.levels_of(row)) << "head " << head << " row " << i;
          if (head == 1) {
            ASSERT_EQ(levels, problem.uniform_levels(1)) << "a dense head";
          }
        }
    }
    p.head_bounds = std::span(bounds, 2);
    EXPECT_THROW(problem.select(p), Error);
  }
}

TEST_P(LevelSource, UniformImportanceIgnoresTheContent) {
  ProblemSize s = size(9 * n() + 5);
  s.heads = 2;
  PsaParams p = params(LevelSelection::kQuota, {0.10, 0.20, 0.30, 0.60});
  p.estimator = ImportanceEstimator::kUniform;
  std::vector<std::vector<float>> found;
  for (const std::uint64_t seed : {1u, 2u}) {
    PsaProblem problem(s, seed);
    problem.build();
    p.seed = seed;
    found.push_back(values_of(problem.select(p)));
    // The best block of a row is the one with the highest score.
    const std::uint32_t blocks = static_cast<std::uint32_t>(problem.key_blocks());
    for (std::uint32_t head = 0; head < 2; ++head)
      for (std::uint32_t i = 0; i < problem.query_blocks(); ++i) {
        std::uint32_t best = 0;
        for (std::uint32_t j = 1; j < blocks; ++j)
          if (uniform_score(head, i, j) > uniform_score(head, i, best)) best = j;
        ASSERT_EQ(problem.levels_of(problem.mask.row(0, head, i))[best], 1);
      }
  }
  EXPECT_EQ(found[0], found[1]);
}

TEST_P(LevelSource, ReusedLevelsAreThoseOfTheirSlot) {
  const ProblemSize s = size(9 * n() + 5);
  const PsaParams p = params(LevelSelection::kThreshold, {0.40, 0.55, 0.70, 0.85});
  PsaProblem first(s, 41), second(s, 42);
  Ops& ops = first.ops();
  PyramidSparseAttention psa(ops, 1, s.tokens, 1, s.depth, p, 2);
  const auto forward = [&](PsaProblem& problem, const PsaSelection& selection) {
    psa.forward(ops, problem.q, problem.k, problem.v, problem.scale(), selection, problem.out,
                problem.lse, {.nominal = problem.nominal, .executed = problem.executed});
  };
  EXPECT_THROW(forward(first, {.slot = 1, .reuse = true}), Error) << "nothing is kept yet";
  EXPECT_THROW(forward(first, {.slot = 2}), Error);
  forward(first, {.slot = 1});
  forward(second, {.slot = 0});
  const std::vector<float> own = values_of(second.out);
  forward(second, {.slot = 1, .reuse = true});
  EXPECT_NE(values_of(second.out), own);
  EXPECT_EQ(values_of(second.nominal), values_of(first.nominal));
  first.build();
  first.select(p);
  second.mask = first.mask;
  const std::vector<float> reused = values_of(second.out);
  second.run();
  EXPECT_EQ(values_of(second.out), reused);
}

INSTANTIATE_TEST_SUITE_P(All, LevelSource, law_configs(), law_config_name);

}  // namespace
}  // namespace psagen::kernels
