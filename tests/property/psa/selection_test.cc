// Laws of block selection (spec psa.md 11.9, 11.12, 11.13): protected tokens, the similarity cap,
// densities, order and quality.
#include <algorithm>

#include "kernels/psa/pyramid_sparse_attention.h"
#include "tests/property/psa/selection_law.h"

namespace psagen::kernels {
namespace {

class Selection : public SelectionLaw {};

// Levels of every pair of blocks that holds a protected token are 1, the others as without.
TEST_P(Selection, ProtectedTokensAreTakenInFull) {
  for (const LevelSelection selection : {LevelSelection::kQuota, LevelSelection::kThreshold}) {
    PsaProblem problem(size(9 * n() + 4), 8);
    problem.build();
    PsaParams p =
        params(selection, selection == LevelSelection::kQuota ? kQuotaBounds : kThresholdBounds);
    const std::int64_t key_blocks = problem.key_blocks(), tokens = problem.size().tokens;
    const auto levels = [&] {
      problem.select(p);
      std::vector<std::uint8_t> all;
      for (std::int64_t row = 0; row < problem.mask.num_rows(); ++row) {
        const auto own = problem.levels_of(row);
        all.insert(all.end(), own.begin(), own.end());
      }
      return all;
    };
    const std::vector<std::uint8_t> free = levels();
    p.protected_tokens = {TokenSpan{n() + 3, 2 * n() + 1}, TokenSpan{tokens - 1, tokens}};
    const std::vector<std::uint8_t> guarded = levels();
    for (std::size_t i = 0; i < free.size(); ++i) {
      const std::int64_t row = static_cast<std::int64_t>(i) / key_blocks;
      const std::int64_t query = row * p.query_block,
                         key = static_cast<std::int64_t>(i) % key_blocks * n();
      const auto holds = [&](std::int64_t first, std::int64_t count) {
        const std::int64_t end = std::min(first + count, tokens);
        for (std::int64_t t = first; t < end; ++t)
          if ((t >= n() + 3 && t < 2 * n() + 1) || t == tokens - 1) return true;
        return false;
      };
      const bool wanted = holds(query, p.query_block) || holds(key, n());
      EXPECT_EQ(guarded[i], wanted ? 1 : free[i]) << "query block " << row << " pair " << i;
    }
    EXPECT_NE(free, guarded);
  }
}

TEST_P(Selection, OrderAndDensityAreThoseOfTheLevels) {
  ProblemSize s = size(6 * n() + 128 * 3 + 5);
  s.batch = s.heads = 2;
  PsaProblem problem(s, 61);
  make_smooth(problem, problem.k);
  for (std::int64_t i = 0; i < problem.q.shape().num_elements(); ++i)
    problem.q.view().data<float>()[i] *= 6.0f;  // rows that differ in how peaked they are
  problem.build();
  problem.select(params(LevelSelection::kThreshold, kThresholdBounds));
  const std::size_t rows = static_cast<std::size_t>(problem.mask.num_rows());
  std::vector<std::int64_t> columns(rows);
  std::vector<std::int32_t> wanted(rows);
  longest_first(problem.mask.bytes(), problem.pyramid().shape, problem.query_blocks(), columns,
                wanted);
  const std::int32_t* order = problem.order.view().data<std::int32_t>();
  EXPECT_EQ(std::vector<std::int32_t>(order, order + rows), wanted);
  EXPECT_FALSE(std::ranges::is_sorted(wanted)) << "rows of one length show nothing";
  const std::size_t head_bytes = problem.mask.bytes().size() / 4;
  for (std::size_t head = 0; head < 4; ++head)
    EXPECT_EQ(values_of(problem.nominal)[head],
              static_cast<float>(
                  nominal_density(problem.mask.bytes().subspan(head * head_bytes, head_bytes))));

  // Whatever order the rows are worked on in, the result is the same.
  problem.attend();
  const std::vector<float> out = values_of(problem.out), executed = values_of(problem.executed);
  std::ranges::reverse(std::span(problem.order.view().data<std::int32_t>(), rows));
  problem.attend(problem.order);
  EXPECT_EQ(values_of(problem.out), out);
  EXPECT_EQ(values_of(problem.executed), executed);
}

// Selection and attention together, through the class the models use.
TEST_P(Selection, ForwardIsTheThreeOps) {
  for (const LevelSelection rule : {LevelSelection::kQuota, LevelSelection::kThreshold}) {
    ProblemSize s = size(8 * n() + 13);
    s.heads = 2;
    PsaProblem problem(s, 17);
    make_smooth(problem, problem.k);
    const PsaParams p =
        params(rule, rule == LevelSelection::kQuota ? kQuotaBounds : kThresholdBounds);
    problem.build();
    problem.select(p);
    problem.attend();
    for (std::int64_t head = 0; head < 2; ++head) {
      const reference::PsaResult truth = problem.reference_result(0, head);
      double error = 0.0, norm = 0.0;
      for (std::int64_t t = 0; t < s.tokens; ++t)
        for (std::int64_t d = 0; d < s.depth; ++d) {
          const double wanted = truth.out[static_cast<std::size_t>(t * s.depth + d)];
          const double found = problem.at(problem.out, t, d, head);
          error += (found - wanted) * (found - wanted);
          norm += wanted * wanted;
        }
      EXPECT_LE(std::sqrt(error / norm), kOutputTolerance);
    }

    PyramidSparseAttention psa(problem.ops(), 1, s.tokens, 2, s.depth, p);
    Tensor out = problem.tensor(DType::kF32, problem.q.shape());
    Tensor lse = problem.tensor(DType::kF32, problem.lse.shape());
    Tensor nominal = problem.tensor(DType::kF32, {1, 2});
    Tensor executed = problem.tensor(DType::kF32, {1, 2});
    psa.forward(problem.ops(), problem.q, problem.k, problem.v, problem.scale(), {}, out, lse,
                {.nominal = nominal, .executed = executed});
    EXPECT_EQ(values_of(out), values_of(problem.out));
    EXPECT_EQ(values_of(lse), values_of(problem.lse));
    EXPECT_EQ(values_of(nominal), values_of(problem.nominal));
    EXPECT_EQ(values_of(executed), values_of(problem.executed));
  }
}

TEST_P(Selection, SimilarityCapsMatchTheReference) {
  PsaProblem problem(size(9 * n() + 21), 23);
  make_smooth(problem, problem.k);
  const std::array<double, 3> thresholds = {0.990, 0.970, 0.932};  // the means of this walk
  problem.build(thresholds);
  const auto reference_problem = problem.reference_problem(0, 0);
  const std::uint8_t* caps = problem.pyramid().level_caps.data<std::uint8_t>();
  std::size_t coarsest = 0;
  for (std::int64_t j = 0; j < problem.key_blocks(); ++j) {
    int wanted = 1;
    for (std::size_t i = 0; i < 3; ++i)
      if (reference::group_similarity(reference_problem, j, kPsaLevels[i + 1]) > thresholds[i])
        wanted = kPsaLevels[i + 1];
    EXPECT_EQ(caps[j], wanted) << "block " << j;
    coarsest += caps[j] == 8 ? 1 : 0;
  }
  EXPECT_GT(coarsest, 0u);  // the data reach both sides of the thresholds
  EXPECT_LT(coarsest, static_cast<std::size_t>(problem.key_blocks()));
}

TEST_P(Selection, SimilarityCapLimits) {
  PsaProblem problem(size(3 * n() + 9), 29);
  const auto expect_caps = [&](std::array<double, 3> thresholds, int wanted) {
    problem.build(thresholds);
    const std::uint8_t* caps = problem.pyramid().level_caps.data<std::uint8_t>();
    for (std::int64_t j = 0; j < problem.key_blocks(); ++j) EXPECT_EQ(caps[j], wanted) << j;
  };
  expect_caps({-1.0, -1.0, -1.0}, 8);
  expect_caps({1.0, 1.0, 1.0}, 1);
  for (std::int64_t t = 1; t < problem.size().tokens; ++t)
    std::ranges::copy(problem.row(problem.k, 0), problem.row(problem.k, t).begin());
  expect_caps({0.70, 0.65, 0.60}, 8);
  expect_caps({1.0, 1.0, 1.0}, 1);
  for (std::int64_t t = 1; t < problem.size().tokens; t += 2)
    for (float& value : problem.row(problem.k, t)) value = -value;
  problem.build({0.70, 0.65, 0.60});
  // The last block may end in a group of one token, which agrees with itself.
  const std::uint8_t* caps = problem.pyramid().level_caps.data<std::uint8_t>();
  for (std::int64_t j = 0; j < 3; ++j) EXPECT_EQ(caps[j], 1) << j;
}

TEST_P(Selection, CapRefinesTheMaskAndKeepsSkippedBlocksSkipped) {
  PsaProblem problem(size(12 * n()), 37);
  for (std::int64_t t = 0; t < problem.size().tokens; ++t)
    if (t / n() % 3 == 0)  // every third block agrees with itself
      std::ranges::copy(problem.row(problem.k, t / n() * n()), problem.row(problem.k, t).begin());
  PsaParams p = params(LevelSelection::kQuota, kQuotaBounds);
  problem.build({0.70, 0.65, 0.60});
  problem.select(p);
  const LevelMap uncapped = problem.mask;
  p.similarity_cap = true;
  problem.select(p);
  PsaProblem::Levels before(12);
  int refined = 0;
  for (std::int64_t row = 0; row < problem.mask.num_rows(); ++row) {
    uncapped.get_row(row, before);
    const PsaProblem::Levels after = problem.levels_of(row);
    for (std::size_t j = 0; j < 12; ++j) {
      const int cap = j % 3 == 0 ? 8 : 1;
      EXPECT_EQ(after[j], std::min<int>(cap, before[j])) << "row " << row << " block " << j;
      refined += after[j] != before[j];
    }
  }
  EXPECT_GT(refined, 0);
}

TEST_P(Selection, DensitiesAreTheHandCount) {
  // n divides the length: pooled rows only ever round up to whole groups of eight.
  PsaProblem problem(size(16 * n()), 41);
  problem.set_random_levels();
  const double executed = problem.run();
  double nominal = 0.0;
  std::int64_t columns = 0;
  for (std::int64_t row = 0; row < problem.mask.num_rows(); ++row) {
    std::int64_t at_level[4] = {};
    for (const int level : problem.levels_of(row))
      for (std::size_t i = 0; i < 4; ++i)
        if (level == kPsaLevels[i]) {
          nominal += 1.0 / level;
          at_level[i] += n() / level;
        }
    for (const std::int64_t rows : at_level) columns += (rows + 7) / 8 * 8;
  }
  const double rows = static_cast<double>(problem.mask.num_rows());
  EXPECT_NEAR(problem.mask.nominal_density(), nominal / rows / 16.0, 1e-12);
  // Densities are float32.
  EXPECT_NEAR(executed, static_cast<double>(columns) / rows / static_cast<double>(16 * n()), 1e-7);
  EXPECT_GE(executed, problem.mask.nominal_density() - 1e-7);
  EXPECT_LE(executed, problem.mask.nominal_density() + 8.0 / static_cast<double>(16 * n()));
}

TEST_P(Selection, DensityOfATail) {
  // Two full blocks and 5 tokens: 5 columns round up to 8 at level 1, 1 row to 8 at level 8.
  PsaProblem problem(size(2 * n() + 5), 43);
  problem.set_levels({1, 0, 1});
  EXPECT_NEAR(problem.run(), static_cast<double>(n() + 8) / static_cast<double>(2 * n() + 5), 1e-7);
  problem.set_levels({0, 0, 8});
  EXPECT_NEAR(problem.run(), 8.0 / static_cast<double>(2 * n() + 5), 1e-7);
}

double error_against_dense(PsaProblem& problem, const PsaParams& params,
                           const std::vector<double>& dense) {
  problem.select(params);
  problem.attend();
  return relative_error(values_of(problem.out), dense);
}

// On keys that change slowly along the sequence, spending more brings the result closer to dense
// attention, and pooling beats dropping at the same density. Averages over seeds: not a law of
// every single input.
TEST_P(Selection, MoreResolutionIsCloserToDenseOnSmoothKeys) {
  double eighth = 0, quarter = 0, half = 0, binary = 0, pooled = 0, low = 0, high = 0;
  for (std::uint64_t seed = 0; seed < 2; ++seed) {
    SCOPED_TRACE(concat("seed ", seed));
    PsaProblem problem(size(24 * n()), seed);
    make_smooth(problem, problem.k);
    make_smooth(problem, problem.v);
    for (std::int64_t t = 0; t < problem.size().tokens; ++t)
      for (float& value : problem.row(problem.q, t)) value *= 2.0f;
    problem.build();
    problem.set_levels(problem.uniform_levels(1));
    problem.attend();
    const std::vector<float> full = values_of(problem.out);
    const std::vector<double> dense(full.begin(), full.end());
    const auto quota = [&](std::array<double, 4> bounds) {
      return error_against_dense(problem, params(LevelSelection::kQuota, bounds), dense);
    };
    const auto threshold = [&](std::array<double, 4> bounds) {
      return error_against_dense(problem, params(LevelSelection::kThreshold, bounds), dense);
    };
    eighth += quota({0.0, 0.0, 0.0, 1.0});
    quarter += quota({0.0, 0.0, 1.0, 1.0});
    half += quota({0.0, 1.0, 1.0, 1.0});
    binary += quota({0.25, 0.25, 0.25, 0.25});
    pooled += quota({0.10, 0.20, 0.30, 0.70});  // density 0.225
    low += threshold({0.3, 0.4, 0.5, 0.6});
    high += threshold({0.6, 0.7, 0.8, 0.9});
  }
  EXPECT_LT(quarter, 0.7 * eighth);
  EXPECT_LT(half, 0.7 * quarter);
  EXPECT_LT(pooled, 0.8 * binary);
  EXPECT_LT(high, 0.8 * low);
}

TEST_P(Selection, PoolingUnrelatedKeysIsVisiblyBad) {
  PsaProblem problem(size(8 * n()), 47);
  for (std::int64_t t = 0; t < problem.size().tokens; ++t)
    for (float& value : problem.row(problem.q, t)) value *= 3.0f;
  problem.build();
  problem.set_levels(problem.uniform_levels(1));
  problem.attend();
  const std::vector<float> full = values_of(problem.out);
  const double error = error_against_dense(problem, params(LevelSelection::kQuota, {0, 0, 0, 1.0}),
                                           {full.begin(), full.end()});
  EXPECT_GT(error, 0.5);
}

INSTANTIATE_TEST_SUITE_P(All, Selection, law_configs(), law_config_name);

}  // namespace
}  // namespace psagen::kernels
