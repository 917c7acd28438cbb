// Laws that count tokens (spec psa.md 11.2, 11.3, 11.10): with q = 0 every kept token weighs the
// same, whatever the levels, so the output says which tokens were read and how often.
#include <gtest/gtest.h>

#include <set>

#include "tests/property/psa/psa_law.h"

namespace psagen::kernels {
namespace {

class Counting : public PsaLaw {};

void set_queries_to_zero(PsaProblem& problem) {
  PsaProblem::fill(problem.q, [] { return 0.0f; });
}

// V[t] = t in channel 0.
void set_values_to_index(PsaProblem& problem) {
  for (std::int64_t t = 0; t < problem.size().tokens; ++t)
    problem.at(problem.v, t, 0) = static_cast<float>(t);
}

// V = one-hot of the block the token is in.
void set_values_to_block(PsaProblem& problem) {
  PsaProblem::fill(problem.v, [] { return 0.0f; });
  for (std::int64_t t = 0; t < problem.size().tokens; ++t)
    problem.at(problem.v, t, t / problem.size().key_block) = 1.0f;
}

void expect_mean_of_indices(PsaProblem& problem) {
  for (std::int64_t i = 0; i < problem.query_blocks(); ++i) {
    const PsaProblem::Levels levels = problem.levels_of(i);
    double sum = 0.0, count = 0.0;
    for (std::int64_t t = 0; t < problem.size().tokens; ++t)
      if (levels[static_cast<std::size_t>(t / problem.size().key_block)] != 0) {
        sum += static_cast<double>(t);
        count += 1.0;
      }
    if (count == 0.0) continue;
    const std::int64_t token = i * problem.size().query_block;
    EXPECT_NEAR(problem.at(problem.out, token, 0), sum / count, 2e-6 * sum / count + 1e-6);
    EXPECT_NEAR(values_of(problem.lse)[static_cast<std::size_t>(token)], std::log(count), 2e-6);
  }
}

void expect_shares_of_blocks(PsaProblem& problem) {
  for (std::int64_t i = 0; i < problem.query_blocks(); ++i) {
    const PsaProblem::Levels levels = problem.levels_of(i);
    double kept = 0.0;
    for (std::int64_t j = 0; j < problem.key_blocks(); ++j)
      if (levels[static_cast<std::size_t>(j)] != 0)
        kept += static_cast<double>(problem.block_tokens(j));
    for (std::int64_t j = 0; j < problem.key_blocks(); ++j) {
      const float share = problem.at(problem.out, i * problem.size().query_block, j);
      if (levels[static_cast<std::size_t>(j)] == 0)
        EXPECT_EQ(share, 0.0f) << "block " << j;
      else
        EXPECT_NEAR(share, static_cast<double>(problem.block_tokens(j)) / kept, 1e-6) << j;
    }
  }
}

TEST_P(Counting, ZeroQueriesGiveTheMeanIndexForAnyLevels) {
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    std::mt19937_64 random(seed);
    PsaProblem problem(size(1 + static_cast<std::int64_t>(random() % 900)), seed);
    SCOPED_TRACE(concat("seed ", seed, " tokens ", problem.size().tokens));
    set_queries_to_zero(problem);
    set_values_to_index(problem);
    problem.set_random_levels();
    problem.run();
    expect_mean_of_indices(problem);
  }
}

TEST_P(Counting, SecondHalfAtOneLevel) {
  for (const int level : kPsaLevels) {
    PsaProblem problem(size(2048), 3);
    SCOPED_TRACE(concat("level ", level));
    set_queries_to_zero(problem);
    set_values_to_index(problem);
    PsaProblem::Levels levels = problem.uniform_levels(level);
    std::fill(levels.begin(), levels.begin() + static_cast<std::ptrdiff_t>(levels.size() / 2),
              std::uint8_t{0});
    problem.set_levels(levels);
    problem.run();
    for (std::int64_t t = 0; t < 2048; t += 97)
      EXPECT_NEAR(problem.at(problem.out, t, 0), 1535.5, 5e-4);
  }
}

// A part-filled last block at every level.
TEST_P(Counting, TailsKeepTheirMass) {
  const std::set<std::int64_t> tails = {1, 2, 7, 8, 15, 16, n() / 2, n() - 1};
  for (const std::int64_t tail : tails)
    for (const int level : kPsaLevels) {
      PsaProblem problem(size(2 * n() + tail), static_cast<std::uint64_t>(100 * tail + level));
      SCOPED_TRACE(concat("tail ", tail, " level ", level));
      set_queries_to_zero(problem);
      PsaProblem::Levels levels = {1, static_cast<std::uint8_t>(tail % 2 == 0 ? 4 : 0),
                                   static_cast<std::uint8_t>(level)};
      problem.set_levels(levels);
      set_values_to_index(problem);
      problem.run();
      expect_mean_of_indices(problem);
      set_values_to_block(problem);
      problem.run();
      expect_shares_of_blocks(problem);

      // The tail alone.
      problem.set_levels({0, 0, static_cast<std::uint8_t>(level)});
      set_values_to_index(problem);
      problem.run();
      expect_mean_of_indices(problem);
    }
}

TEST_P(Counting, AppendingATokenChangesOnlyItsBlock) {
  for (const std::int64_t tail : {1L, 7L, 8L, 16L}) {
    PsaProblem shorter(size(2 * n() + tail), 11);
    PsaProblem longer(size(2 * n() + tail + 1), 12);
    SCOPED_TRACE(concat("tail ", tail));
    for (std::int64_t t = 0; t < shorter.size().tokens; ++t)
      for (std::int64_t d = 0; d < depth(); ++d) {
        longer.at(longer.q, t, d) = shorter.at(shorter.q, t, d);
        longer.at(longer.k, t, d) = shorter.at(shorter.k, t, d);
        longer.at(longer.v, t, d) = shorter.at(shorter.v, t, d);
      }
    for (PsaProblem* problem : {&shorter, &longer}) {
      problem->set_levels({2, 8, 0});
      problem->run();
    }
    for (std::int64_t t = 0; t < shorter.size().tokens; ++t)
      for (std::int64_t d = 0; d < depth(); ++d)
        ASSERT_EQ(longer.at(longer.out, t, d), shorter.at(shorter.out, t, d));
  }
}

TEST_P(Counting, OneHotValuesShowTheSharesOfBlocks) {
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    std::mt19937_64 random(seed + 50);
    // As many blocks as channels at most.
    PsaProblem problem(size(1 + static_cast<std::int64_t>(
                                    random() % static_cast<std::uint64_t>(
                                                   std::min<std::int64_t>(20, depth()) * n()))),
                       seed);
    SCOPED_TRACE(concat("seed ", seed, " tokens ", problem.size().tokens));
    set_queries_to_zero(problem);
    set_values_to_block(problem);
    problem.set_random_levels();
    problem.run();
    expect_shares_of_blocks(problem);
  }
}

TEST_P(Counting, SkippedBlocksAreNeverRead) {
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    PsaProblem problem(size(10 * n() + 3), seed);
    SCOPED_TRACE(concat("seed ", seed));
    set_values_to_block(problem);
    problem.set_random_levels();
    problem.run();
    for (std::int64_t t = 0; t < problem.size().tokens; ++t) {
      const PsaProblem::Levels levels = problem.levels_of(t / problem.size().query_block);
      double sum = 0.0;
      for (std::int64_t j = 0; j < problem.key_blocks(); ++j) {
        const float share = problem.at(problem.out, t, j);
        sum += share;
        if (levels[static_cast<std::size_t>(j)] == 0) {
          ASSERT_EQ(share, 0.0f) << "token " << t << " block " << j;
        } else {
          ASSERT_GT(share, 0.0f) << "token " << t << " block " << j;
        }
      }
      if (std::any_of(levels.begin(), levels.end(), [](int level) { return level != 0; })) {
        ASSERT_NEAR(sum, 1.0, 2e-6);
      }
    }
  }
}

// Spec psa.md 11.2: level 1 {0,1,2}, level 2 {10}, level 8 {20..23, 28..31} of 32 blocks of 64.
TEST(CountingVectors, MixedLevels) {
  for (const std::int64_t depth : {64, 128}) {
    PsaProblem problem({.tokens = 2048, .key_block = 64, .depth = depth}, 1);
    set_queries_to_zero(problem);
    set_values_to_index(problem);
    PsaProblem::Levels levels(32, 0);
    for (const std::size_t j : {0, 1, 2}) levels[j] = 1;
    levels[10] = 2;
    for (const std::size_t j : {20, 21, 22, 23, 28, 29, 30, 31}) levels[j] = 8;
    problem.set_levels(levels);
    problem.run();
    EXPECT_NEAR(problem.at(problem.out, 0, 0), 1188.8333, 5e-4);
    EXPECT_NEAR(problem.at(problem.out, 2047, 0), 1188.8333, 5e-4);
  }
}

INSTANTIATE_TEST_SUITE_P(All, Counting, law_configs(), law_config_name);

}  // namespace
}  // namespace psagen::kernels
