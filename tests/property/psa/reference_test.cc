// Sparse attention on the CPU against the double-precision formula, for random level assignments
// of every kind of shape: batches, heads, part-filled last blocks, short sequences, empty rows.
#include <gtest/gtest.h>

#include "tests/property/psa/psa_law.h"

namespace psagen::kernels {
namespace {

class SparseAttentionReference : public PsaLaw {};

void expect_reference(PsaProblem& problem) {
  const ProblemSize& size = problem.size();
  double error = 0.0, norm = 0.0;
  for (std::int64_t batch = 0; batch < size.batch; ++batch)
    for (std::int64_t head = 0; head < size.heads; ++head) {
      const reference::PsaResult truth = problem.reference_result(batch, head);
      for (std::int64_t t = 0; t < size.tokens; ++t) {
        const float lse =
            problem.lse.view().data<float>()[(batch * size.heads + head) * size.tokens + t];
        const double wanted = truth.lse[static_cast<std::size_t>(t)];
        if (std::isinf(wanted))
          ASSERT_EQ(lse, wanted) << "token " << t;
        else
          ASSERT_NEAR(lse, wanted, kLseTolerance) << "token " << t;
        for (std::int64_t d = 0; d < size.depth; ++d) {
          const double value = problem.at(problem.out, t, d, head, batch);
          const double truth_value = truth.out[static_cast<std::size_t>(t * size.depth + d)];
          if (std::isinf(wanted)) {
            ASSERT_EQ(value, 0.0);
          }
          error += (value - truth_value) * (value - truth_value);
          norm += truth_value * truth_value;
        }
      }
    }
  EXPECT_LE(std::sqrt(error), kOutputTolerance * std::sqrt(norm));
}

TEST_P(SparseAttentionReference, RandomLevelsOfRandomShapes) {
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    std::mt19937_64 random(seed);
    ProblemSize s = size(1 + static_cast<std::int64_t>(random() % 700));
    s.batch = 1 + static_cast<std::int64_t>(random() % 2);
    s.heads = 1 + static_cast<std::int64_t>(random() % 2);
    s.query_block = 32 * (1 + static_cast<int>(random() % 5));
    SCOPED_TRACE(concat("seed ", seed, " tokens ", s.tokens, " batch ", s.batch, " heads ", s.heads,
                        " query block ", s.query_block));
    PsaProblem problem(s, seed);
    problem.set_random_levels();
    problem.run();
    expect_reference(problem);
  }
}

TEST_P(SparseAttentionReference, EveryLevelAlone) {
  for (const int level : kPsaLevels) {
    PsaProblem problem(size(3 * GetParam().key_block + 5), 40 + static_cast<std::uint64_t>(level));
    SCOPED_TRACE(concat("level ", level));
    problem.set_levels(problem.uniform_levels(level));
    problem.run();
    expect_reference(problem);
  }
}

TEST_P(SparseAttentionReference, PeakedFlatAndLargeScores) {
  for (const float size_of_keys : {0.1f, 8.0f}) {
    PsaProblem problem(size(2 * GetParam().key_block + 9), 77);
    SCOPED_TRACE(concat("keys times ", size_of_keys));
    PsaProblem::fill(problem.k, [&] { return problem.normal() * size_of_keys; });
    problem.set_random_levels();
    problem.mask.set_row(0, problem.uniform_levels(1));
    problem.run();
    // Scores of 8 times the size carry 8 times the rounding error.
    const reference::PsaResult truth = problem.reference_result();
    EXPECT_LE(relative_error(values_of(problem.out), truth.out), 8 * kOutputTolerance);
  }
}

TEST_P(SparseAttentionReference, OneDominantKeyInAnyBlock) {
  for (std::int64_t at = 0; at < 3; ++at) {
    PsaProblem problem(size(3 * GetParam().key_block), 90);
    SCOPED_TRACE(concat("block ", at));
    for (std::int64_t d = 0; d < problem.size().depth; ++d) {
      for (std::int64_t t = 0; t < problem.size().tokens; ++t) problem.at(problem.q, t, d) = 1.0f;
      problem.at(problem.k, at * GetParam().key_block + 3, d) = static_cast<float>(
          40.0 / problem.scale() / static_cast<double>(GetParam().depth));  // score 40
    }
    problem.set_levels(problem.uniform_levels(1));
    problem.run();
    const std::int64_t dominant = at * GetParam().key_block + 3;
    for (std::int64_t d = 0; d < problem.size().depth; ++d)
      EXPECT_NEAR(problem.at(problem.out, 0, d), problem.at(problem.v, dominant, d), 1e-5);
  }
}

// q, k and v as slices of one [B, L, 3, N, D] buffer, out as a slice of a wider one.
TEST_P(SparseAttentionReference, StridedViews) {
  ProblemSize s = size(GetParam().key_block + 17);
  s.batch = 2;
  s.heads = 2;
  PsaProblem problem(s, 5);
  problem.set_random_levels();
  problem.run();

  const Shape shape = problem.q.shape();
  Tensor packed = problem.tensor(DType::kF32, {s.batch, s.tokens, 4 * s.heads * s.depth});
  PsaProblem::fill(packed, [] { return 1e30f; });
  TensorView parts[4];
  for (int i = 0; i < 4; ++i)
    parts[i] = packed.view()
                   .slice(2, i * s.heads * s.depth, (i + 1) * s.heads * s.depth)
                   .split_last(s.heads, s.depth);
  problem.ops().copy(problem.q, parts[0]);
  problem.ops().copy(problem.k, parts[1]);
  problem.ops().copy(problem.v, parts[2]);
  problem.ops().build_pyramid(
      {.k = parts[1], .v = parts[2], .similarity_thresholds = {}, .pyramid = problem.pyramid()});
  problem.ops().sparse_attention({.q = parts[0],
                                  .k = parts[1],
                                  .v = parts[2],
                                  .pyramid = problem.pyramid(),
                                  .levels = problem.mask.view(),
                                  .order = {},
                                  .scale = problem.scale(),
                                  .query_block = s.query_block,
                                  .out = parts[3],
                                  .lse = {},
                                  .executed_density = {}});
  Tensor gathered = problem.tensor(DType::kF32, shape);
  problem.ops().copy(parts[3], gathered);
  EXPECT_EQ(values_of(gathered), values_of(problem.out));
}

// The CPU makes a pyramid at once.
TEST_P(SparseAttentionReference, RefusesPartsOfAPyramid) {
  PsaProblem problem(size(GetParam().key_block), 6);
  problem.set_random_levels();
  EXPECT_FALSE(problem.ops().pools_in_attention());
  const auto code_of = [](const auto& call) {
    try {
      call();
    } catch (const Error& error) {
      return error.code();
    }
    return ErrorCode::kInternal;
  };
  EXPECT_EQ(code_of([&] {
              problem.ops().build_pyramid({.k = problem.k,
                                           .v = problem.v,
                                           .similarity_thresholds = {},
                                           .part = PyramidPart::kKeys,
                                           .pyramid = problem.pyramid()});
            }),
            ErrorCode::kUnsupported);
  problem.build();
  EXPECT_EQ(code_of([&] {
              problem.ops().sparse_attention({.q = problem.q,
                                              .k = problem.k,
                                              .v = problem.v,
                                              .pyramid = problem.pyramid(),
                                              .pending = PyramidPart::kValues,
                                              .levels = problem.mask.view(),
                                              .order = {},
                                              .scale = problem.scale(),
                                              .query_block = 128,
                                              .out = problem.out,
                                              .lse = {},
                                              .executed_density = {}});
            }),
            ErrorCode::kUnsupported);
}

INSTANTIATE_TEST_SUITE_P(All, SparseAttentionReference, law_configs(), law_config_name);
// Head dims that fill a group of eight but no vector, and every block size on the lower targets.
INSTANTIATE_TEST_SUITE_P(OtherShapes, SparseAttentionReference,
                         ::testing::Values(LawConfig{32, 8}, LawConfig{64, 24},
                                           LawConfig{64, 24, cpu::SimdTarget::kAvx2},
                                           LawConfig{64, 64, cpu::SimdTarget::kAvx2},
                                           LawConfig{128, 64, cpu::SimdTarget::kBaseline},
                                           LawConfig{64, 128, cpu::SimdTarget::kBaseline}),
                         law_config_name);

}  // namespace
}  // namespace psagen::kernels
