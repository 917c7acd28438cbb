// Laws that compare two computations (spec psa.md 11.1, 11.4 to 11.8): all blocks at level 1 are
// dense attention, pooling is exact where keys agree, and what should not matter does not.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "tests/property/psa/psa_law.h"

namespace psagen::kernels {
namespace {

class Exactness : public PsaLaw {};

std::vector<double> widened(const std::vector<float>& x) { return {x.begin(), x.end()}; }

void expect_close(const std::vector<float>& x, const std::vector<float>& y, double tolerance) {
  EXPECT_LE(relative_error(x, widened(y)), tolerance);
}

TEST_P(Exactness, AllLevelOneIsDenseAttention) {
  for (const std::int64_t tokens :
       {std::int64_t{1}, n() - 1, n(), n() + 1, 2 * n(), std::int64_t{257}, 3 * n() + 7}) {
    ProblemSize s = size(tokens);
    s.heads = 2;
    PsaProblem problem(s, static_cast<std::uint64_t>(tokens));
    SCOPED_TRACE(concat("tokens ", tokens));
    problem.set_levels(problem.uniform_levels(1));
    problem.run();
    Tensor out = problem.tensor(DType::kF32, problem.q.shape());
    Tensor lse = problem.tensor(DType::kF32, problem.lse.shape());
    AttentionArgs args;
    args.q = problem.q;
    args.k = problem.k;
    args.v = problem.v;
    args.scale = problem.scale();
    args.out = out;
    args.lse = lse;
    problem.ops().attention(args);
    expect_close(values_of(problem.out), values_of(out), kOutputTolerance);
    EXPECT_LE(largest_difference(values_of(problem.lse), values_of(lse)), kLseTolerance);
  }
}

// Copies the first key of each aligned group of `group` tokens to the whole group.
void make_constant(PsaProblem& problem, Tensor& x, std::int64_t group) {
  for (std::int64_t t = 0; t < problem.size().tokens; ++t)
    std::ranges::copy(problem.row(x, t / group * group), problem.row(x, t).begin());
}

TEST_P(Exactness, AgreeingKeysMakeEveryLevelExact) {
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    PsaProblem problem(size(4 * n() + 3 + static_cast<std::int64_t>(seed)), seed);
    SCOPED_TRACE(concat("seed ", seed));
    make_constant(problem, problem.k, 8);
    problem.set_random_levels();
    problem.run();
    const std::vector<float> pooled = values_of(problem.out), pooled_lse = values_of(problem.lse);
    for (std::int64_t row = 0; row < problem.mask.num_rows(); ++row) {
      PsaProblem::Levels levels = problem.levels_of(row);
      for (std::uint8_t& level : levels) level = level != 0;
      problem.mask.set_row(row, levels);
    }
    problem.run();
    expect_close(pooled, values_of(problem.out), kOutputTolerance);
    EXPECT_LE(largest_difference(pooled_lse, values_of(problem.lse)), kLseTolerance);
  }
}

TEST_P(Exactness, ConstantBlocksGiveTheSameAtEveryLevel) {
  PsaProblem problem(size(5 * n() + n() / 2), 3);
  make_constant(problem, problem.k, n());
  make_constant(problem, problem.v, n());
  problem.set_levels(problem.uniform_levels(1));
  problem.run();
  const std::vector<float> full = values_of(problem.out);
  for (const int level : {2, 4, 8}) {
    SCOPED_TRACE(concat("level ", level));
    problem.set_levels(problem.uniform_levels(level));
    problem.run();
    // Adding n equal terms rounds each time in the same direction, in output and denominator.
    expect_close(values_of(problem.out), full,
                 kOutputTolerance + static_cast<double>(n()) * 0x1p-24);
  }
}

TEST_P(Exactness, OnesGiveOnesAndValuesAreAffine) {
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    PsaProblem problem(size(6 * n() + 1 + static_cast<std::int64_t>(seed) * 5), seed);
    SCOPED_TRACE(concat("seed ", seed));
    problem.set_random_levels();
    problem.mask.set_row(0, problem.uniform_levels(4));
    problem.run();
    const std::vector<float> plain = values_of(problem.out), lse = values_of(problem.lse);

    float* v = problem.v.view().data<float>();
    for (std::int64_t i = 0; i < problem.v.view().num_elements(); ++i) v[i] = 3.0f * v[i] + 0.5f;
    problem.run();
    std::vector<float> wanted(plain);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const bool empty = std::isinf(lse[i / static_cast<std::size_t>(depth())]);
      wanted[i] = empty ? 0.0f : 3.0f * wanted[i] + 0.5f;
    }
    expect_close(values_of(problem.out), wanted, kOutputTolerance);

    PsaProblem::fill(problem.v, [] { return 1.0f; });
    problem.run();
    const std::vector<float> ones = values_of(problem.out);
    for (std::size_t i = 0; i < ones.size(); ++i) {
      const bool empty = std::isinf(lse[i / static_cast<std::size_t>(depth())]);
      ASSERT_NEAR(ones[i], empty ? 0.0f : 1.0f, 2e-6) << i;
    }
  }
}

TEST_P(Exactness, ShiftingAllKeysShiftsOnlyTheLse) {
  PsaProblem problem(size(5 * n() + 9), 8);
  problem.set_random_levels();
  problem.run();
  const std::vector<float> out = values_of(problem.out), lse = values_of(problem.lse);
  std::vector<float> shift(static_cast<std::size_t>(depth()));
  for (float& value : shift) value = problem.normal();
  for (std::int64_t t = 0; t < problem.size().tokens; ++t)
    for (std::int64_t d = 0; d < depth(); ++d)
      problem.at(problem.k, t, d) += shift[static_cast<std::size_t>(d)];
  problem.run();
  // Keys of twice the size: twice the rounding.
  expect_close(values_of(problem.out), out, 4 * kOutputTolerance);
  for (std::int64_t t = 0; t < problem.size().tokens; ++t) {
    double change = 0.0;
    for (std::int64_t d = 0; d < depth(); ++d)
      change += problem.at(problem.q, t, d) * shift[static_cast<std::size_t>(d)];
    const std::size_t i = static_cast<std::size_t>(t);
    if (!std::isinf(lse[i])) {
      ASSERT_NEAR(values_of(problem.lse)[i], lse[i] + problem.scale() * change, 2 * kLseTolerance);
    }
  }
}

TEST_P(Exactness, OneKeptBlockAndEmptyRows) {
  PsaProblem problem(size(4 * n() + 5), 21);
  problem.build();
  for (const int level : kPsaLevels)
    for (std::int64_t kept = 0; kept < problem.key_blocks(); ++kept) {
      SCOPED_TRACE(concat("level ", level, " block ", kept));
      PsaProblem::Levels levels = problem.uniform_levels(0);
      levels[static_cast<std::size_t>(kept)] = static_cast<std::uint8_t>(level);
      problem.set_levels(levels);
      problem.attend();
      const reference::PsaResult truth = problem.reference_result();
      ASSERT_LE(relative_error(values_of(problem.out), truth.out), kOutputTolerance);
      for (std::size_t t = 0; t < truth.lse.size(); ++t)
        ASSERT_NEAR(values_of(problem.lse)[t], truth.lse[t], kLseTolerance);
    }
  problem.set_levels(problem.uniform_levels(0));
  EXPECT_EQ(problem.attend(), 0.0);
  for (const float value : values_of(problem.out)) ASSERT_EQ(value, 0.0f);
  for (const float value : values_of(problem.lse))
    ASSERT_EQ(value, -std::numeric_limits<float>::infinity());
}

// Moves token order[i] to place i in K and V.
void permute_keys(PsaProblem& problem, const std::vector<std::int64_t>& order) {
  for (Tensor* x : {&problem.k, &problem.v}) {
    const std::vector<float> old = values_of(*x);
    const std::ptrdiff_t width = static_cast<std::ptrdiff_t>(problem.size().depth);
    for (std::size_t i = 0; i < order.size(); ++i)
      std::copy_n(old.begin() + static_cast<std::ptrdiff_t>(order[i]) * width, width,
                  problem.row(*x, static_cast<std::int64_t>(i)).begin());
  }
}

std::vector<std::int64_t> identity_order(std::int64_t count) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  return order;
}

TEST_P(Exactness, OrderInsideAGroupOrOfGroupsDoesNotMatter) {
  for (const int level : {2, 4, 8}) {
    SCOPED_TRACE(concat("level ", level));
    PsaProblem problem(size(3 * n()), static_cast<std::uint64_t>(level));
    problem.set_levels(problem.uniform_levels(level));
    problem.run();
    const std::vector<float> before = values_of(problem.out);

    std::vector<std::int64_t> inside = identity_order(problem.size().tokens);
    for (auto group = inside.begin(); group != inside.end(); group += level)
      std::shuffle(group, group + level, problem.random());
    permute_keys(problem, inside);
    problem.run();
    expect_close(values_of(problem.out), before, kOutputTolerance);

    std::vector<std::int64_t> groups;
    for (std::int64_t block = 0; block < problem.key_blocks(); ++block) {
      std::vector<std::int64_t> starts = identity_order(n() / level);
      std::shuffle(starts.begin(), starts.end(), problem.random());
      for (const std::int64_t start : starts)
        for (std::int64_t t = 0; t < level; ++t) groups.push_back(block * n() + start * level + t);
    }
    permute_keys(problem, groups);
    problem.run();
    expect_close(values_of(problem.out), before, kOutputTolerance);
  }
}

TEST_P(Exactness, MovingKeyBlocksWithTheirMaskDoesNotMatter) {
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    PsaProblem problem(size(6 * n()), seed);
    SCOPED_TRACE(concat("seed ", seed));
    problem.set_random_levels();
    problem.run();
    const std::vector<float> before = values_of(problem.out), lse = values_of(problem.lse);
    std::vector<std::int64_t> blocks = identity_order(problem.key_blocks());
    std::shuffle(blocks.begin(), blocks.end(), problem.random());
    std::vector<std::int64_t> order;
    for (const std::int64_t block : blocks)
      for (std::int64_t t = 0; t < n(); ++t) order.push_back(block * n() + t);
    permute_keys(problem, order);
    for (std::int64_t row = 0; row < problem.mask.num_rows(); ++row) {
      const PsaProblem::Levels old = problem.levels_of(row);
      PsaProblem::Levels levels(old.size());
      for (std::size_t j = 0; j < old.size(); ++j)
        levels[j] = old[static_cast<std::size_t>(blocks[j])];
      problem.mask.set_row(row, levels);
    }
    problem.run();
    expect_close(values_of(problem.out), before, kOutputTolerance);
    EXPECT_LE(largest_difference(values_of(problem.lse), lse), kLseTolerance);
  }
}

TEST_P(Exactness, MovingQueryBlocksMovesTheirResults) {
  PsaProblem problem(size(4 * 128), 31);
  problem.set_random_levels();
  problem.run();
  const std::vector<float> before = values_of(problem.out);
  const std::vector<float> q = values_of(problem.q);
  const std::ptrdiff_t width = static_cast<std::ptrdiff_t>(128 * depth());
  std::vector<PsaProblem::Levels> rows;
  for (std::int64_t i = 0; i < 4; ++i) rows.push_back(problem.levels_of(i));
  const std::int64_t moved[] = {2, 0, 3, 1};
  for (std::int64_t i = 0; i < 4; ++i) {
    std::copy_n(q.begin() + moved[i] * width, width, &problem.at(problem.q, i * 128, 0));
    problem.mask.set_row(i, rows[static_cast<std::size_t>(moved[i])]);
  }
  problem.run();
  const std::vector<float> after = values_of(problem.out);
  for (std::int64_t i = 0; i < 4; ++i)
    EXPECT_TRUE(std::equal(after.begin() + i * width, after.begin() + (i + 1) * width,
                           before.begin() + moved[i] * width))
        << i;
}

// Jensen: the mean of a group never has more mass than the group, so the log-sum-exp only falls
// when a block is pooled more coarsely, and only rises when a block is added.
TEST_P(Exactness, LseFallsWithCoarserLevelsAndRisesWithMoreBlocks) {
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    PsaProblem problem(size(5 * n() + 11), seed);
    SCOPED_TRACE(concat("seed ", seed));
    problem.build();
    problem.set_levels(problem.uniform_levels(1));
    problem.attend();
    std::vector<float> finer = values_of(problem.lse);
    PsaProblem::Levels levels = problem.uniform_levels(1);
    for (int step = 0; step < 12; ++step) {
      const std::size_t j = static_cast<std::size_t>(problem.below(problem.key_blocks()));
      if (levels[j] < 8) levels[j] = static_cast<std::uint8_t>(2 * levels[j]);
      problem.set_levels(levels);
      problem.attend();
      const std::vector<float> coarser = values_of(problem.lse);
      for (std::size_t t = 0; t < coarser.size(); ++t)
        ASSERT_LE(coarser[t], finer[t] + kLseTolerance) << "token " << t << " step " << step;
      finer = coarser;
    }
    for (std::size_t j = 0; j + 1 < levels.size(); ++j) {
      PsaProblem::Levels fewer = levels;
      fewer[j] = 0;
      problem.set_levels(fewer);
      problem.attend();
      const std::vector<float> lse = values_of(problem.lse);
      for (std::size_t t = 0; t < lse.size(); ++t) ASSERT_LT(lse[t], finer[t]) << "token " << t;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Exactness, law_configs(), law_config_name);

}  // namespace
}  // namespace psagen::kernels
