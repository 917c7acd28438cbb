// Laws of sparse attention (spec psa.md section 11) that hold whatever the reference says, on the
// GPU. Inputs are chosen so that means and probabilities are exact in 16 bits where a law is.
#include "kernels/reference/attention.h"
#include "tests/parity/cuda/sparse_attention_fixture.h"

namespace psagen::kernels {
namespace {

class SparseAttentionLawsCuda : public SparseAttentionCuda {
 protected:
  static constexpr double kInfinity = std::numeric_limits<double>::infinity();

  // Of `tokens(key block)` tokens.
  template <typename Tokens>
  static std::vector<SparseSize> sizes(const Tokens& tokens) {
    std::vector<SparseSize> result;
    for (const int key_block : {128, 64, 32})
      for (const std::int64_t depth : {64, 128})
        result.push_back({.tokens = tokens(key_block), .depth = depth, .key_block = key_block});
    return result;
  }

  double out(const SparseCall& call, const Result& result, std::int64_t token,
             std::int64_t channel) {
    return result.out[call.index(0, token, 0, channel)];
  }

  // The same random row for each `group` tokens.
  static void fill_alike(SparseCall& call, int part, std::int64_t group) {
    std::vector<double> rows;
    for (std::int64_t i = 0; i < (call.size.tokens + group - 1) / group * call.size.depth; ++i)
      rows.push_back(call.real(-2.0, 2.0));
    call.fill(part, [&](std::int64_t, std::int64_t t, std::int64_t, std::int64_t d) {
      return rows[static_cast<std::size_t>(t / group * call.size.depth + d)];
    });
  }

  // Whether the tokens of query block i that both calls have came out with the same bits.
  static bool same_query_block(const SparseCall& a, const Result& a_result, const SparseCall& b,
                               const Result& b_result, std::int64_t i) {
    const std::int64_t tokens = std::min(a.size.tokens, b.size.tokens);
    const std::int64_t first = i * a.size.query_block;
    const std::int64_t end = std::min(first + a.size.query_block, tokens);
    const auto rows = [&](const std::vector<double>& x, std::int64_t width) {
      return std::vector<double>(x.begin() + first * width, x.begin() + end * width);
    };
    return same_bits(rows(a_result.out, a.size.depth), rows(b_result.out, b.size.depth)) &&
           same_bits(rows(a_result.lse, 1), rows(b_result.lse, 1));
  }

  // With q = 0 the output is the mean of the kept tokens' values, whatever the levels: channel c of
  // token t holds its digit c in base 16, whose means are exact; in F32 channel 3 holds t itself.
  // `kept` gives each token how often it counts.
  void expect_means(SparseCall& call, const std::string& what) {
    const auto digit = [](std::int64_t token, std::int64_t channel) {
      return static_cast<double>(token >> (4 * channel) & 15);
    };
    call.fill(0, [](auto...) { return 0.0; });
    call.fill(2, [&](std::int64_t, std::int64_t t, std::int64_t, std::int64_t d) {
      return d < 3 ? digit(t, d) : d == 3 && dtype() == DType::kF32 ? static_cast<double>(t) : 0.0;
    });
    const SparseSize& size = call.size;
    for (const bool portable : {false, true}) {
      const Result result = run(call, portable);
      for (std::int64_t i = 0; i < size.query_blocks(); ++i) {
        double sums[4] = {}, count = 0.0;
        for (std::int64_t t = 0; t < size.tokens; ++t) {
          if (call.levels[static_cast<std::size_t>(i * size.key_blocks() + t / size.key_block)] ==
              0)
            continue;
          count += 1.0;
          for (std::int64_t d = 0; d < 3; ++d) sums[d] += digit(t, d);
          sums[3] += static_cast<double>(t);
        }
        const std::int64_t end = std::min((i + 1) * size.query_block, size.tokens);
        for (std::int64_t t = i * size.query_block; t < end; ++t) {
          const std::string where =
              concat(what, ", ", size, portable ? ", portable" : "", ", token ", t);
          if (count == 0.0) {
            for (std::int64_t d = 0; d < size.depth; ++d) ASSERT_EQ(out(call, result, t, d), 0.0);
            ASSERT_EQ(result.lse[static_cast<std::size_t>(t)], -kInfinity) << where;
            continue;
          }
          // Weights of columns and the reciprocal of their sum are off by some float32 units.
          for (std::int64_t d = 0; d < 3; ++d) {
            const double wanted = sums[d] / count, off = wanted * 0x1p-20;
            ASSERT_GE(out(call, result, t, d), rounded(wanted - off, dtype())) << where;
            ASSERT_LE(out(call, result, t, d), rounded(wanted + off, dtype())) << where;
          }
          if (dtype() == DType::kF32) {
            ASSERT_NEAR(out(call, result, t, 3), sums[3] / count, 1e-3) << where;
          }
          ASSERT_NEAR(result.lse[static_cast<std::size_t>(t)], std::log(count), 1e-5) << where;
        }
      }
    }
  }
};

TEST_P(SparseAttentionLawsCuda, AllAtLevelOneIsDenseAttention) {
  for (const int key_block : {128, 64, 32})
    for (const std::int64_t depth : {64, 128})
      for (const std::int64_t tokens : {5, key_block - 1, key_block + 1, 384, 449}) {
        SparseCall call(
            {.batch = 2, .tokens = tokens, .heads = 2, .depth = depth, .key_block = key_block},
            dtype(), static_cast<std::uint64_t>(tokens));
        const AttentionArgs args{.q = call.part(0),
                                 .k = call.part(1),
                                 .v = call.part(2),
                                 .scale = call.scale,
                                 .out = {}};
        const auto dense = reference::attention<double>(args);
        check(call, {.out = dense.out, .lse = dense.lse}, "all at level 1");
      }
}

TEST_P(SparseAttentionLawsCuda, SecondHalfAtOneLevelHasMean1535) {
  for (const SparseSize& size : sizes([](int) { return 2048; }))
    for (const int level : {1, 2, 4, 8}) {
      SparseCall call(size, dtype(), 1);
      call.set_levels([&](std::int64_t, std::int64_t block) {
        return block >= size.key_blocks() / 2 ? level : 0;
      });
      expect_means(call, concat("level ", level));
      // 1535.5 = 7.5 + 16 * 7.5 + 256 * 5.5, all exact in 16 bits.
      const Result result = run(call, false);
      EXPECT_EQ(
          out(call, result, 99, 0) + 16 * out(call, result, 99, 1) + 256 * out(call, result, 99, 2),
          1535.5)
          << call.size << ", level " << level;
    }
}

TEST_P(SparseAttentionLawsCuda, MixedLevelsHaveMean1188) {
  for (const std::int64_t depth : {64, 128}) {
    SparseCall call({.tokens = 2048, .depth = depth, .key_block = 64}, dtype(), 1);
    SparseCall::Levels levels(32, 0);
    for (const int block : {0, 1, 2}) levels[static_cast<std::size_t>(block)] = 1;
    levels[10] = 2;
    for (const int block : {20, 21, 22, 23, 28, 29, 30, 31})
      levels[static_cast<std::size_t>(block)] = 8;
    call.set_levels(levels);
    expect_means(call, "mixed vector");
    // Rounded digits: half a unit of each, times its place.
    const double unit = dtype() == DType::kBF16  ? 0x1p-8
                        : dtype() == DType::kF16 ? 0x1p-11
                                                 : 0x1p-22;
    for (const bool portable : {false, true}) {
      const Result result = run(call, portable);
      EXPECT_NEAR(
          out(call, result, 3, 0) + 16 * out(call, result, 3, 1) + 256 * out(call, result, 3, 2),
          913024.0 / 768.0, 1200.0 * unit);
      if (dtype() == DType::kF32) {
        EXPECT_NEAR(out(call, result, 3, 3), 1188.8333, 1e-3);
      }
    }
  }
}

TEST_P(SparseAttentionLawsCuda, NoTokenIsCountedTwiceOrLost) {
  std::uint64_t seed = 10;
  for (const int key_block : {128, 64, 32})
    for (const std::int64_t tail : {1, 2, 7, 8, 15, 16, key_block / 2, key_block - 1})
      for (const std::int64_t depth : {64, 128}) {
        SparseCall call({.tokens = 5 * key_block + tail, .depth = depth, .key_block = key_block},
                        dtype(), ++seed);
        call.set_random_levels();
        expect_means(call, "any levels");
      }
}

// Values one-hot in the block: a channel is the share of its block.
TEST_P(SparseAttentionLawsCuda, EachBlockHasItsShareAndSkippedOnesHaveNone) {
  for (SparseSize size : sizes([](int key_block) { return 20 * key_block + 5; })) {
    if (size.depth == 128) size.tokens = 9 * size.key_block + 5;  // for the reference's sake
    SparseCall call(size, dtype(), 20);
    call.set_random_levels();
    call.fill(2, [&](std::int64_t, std::int64_t t, std::int64_t, std::int64_t d) {
      return t / size.key_block == d ? 1.0 : 0.0;
    });
    check(call, "ownership");
    for (const bool portable : {false, true}) {
      const Result result = run(call, portable);
      for (std::int64_t t = 0; t < size.tokens; ++t) {
        double sum = 0.0;
        for (std::int64_t j = 0; j < size.key_blocks(); ++j) {
          const std::int64_t row = t / size.query_block;
          if (call.levels[static_cast<std::size_t>(row * size.key_blocks() + j)] == 0) {
            ASSERT_EQ(out(call, result, t, j), 0.0) << size << ", token " << t;
          }
          sum += out(call, result, t, j);
        }
        ASSERT_NEAR(sum, 1.0, dtype() == DType::kF32 ? 1e-5 : 0x1p-7) << size;
      }
    }
  }
}

// Keys alike in groups of eight: every level gives what level 1 gives.
TEST_P(SparseAttentionLawsCuda, KeysAlikeInTheirGroupsMakeEveryLevelExact) {
  for (const SparseSize& size : sizes([](int) { return 5 * 128 + 24; })) {
    SparseCall call(size, dtype(), 30);
    fill_alike(call, 1, 8);
    call.set_random_levels();
    check(call, call.truth(call.at_level_1()), "keys alike");
  }
}

// Keys and values alike in their blocks: likewise, and no value is rounded by its mean.
TEST_P(SparseAttentionLawsCuda, BlocksOfOneKeyAndValueAreExactAtEveryLevel) {
  std::uint64_t seed = 35;
  for (const SparseSize& size : sizes([](int key_block) { return 4 * key_block + 13; })) {
    SparseCall call(size, dtype(), ++seed);
    for (const int part : {1, 2}) fill_alike(call, part, size.key_block);
    call.set_random_levels();
    check(call, call.truth(call.at_level_1()), "blocks alike, any levels", Pooling::kDevice);
    for (const int level : {2, 4, 8}) {
      call.set_levels([level](auto...) { return level; });
      check(call, call.truth(call.at_level_1()), concat("blocks alike, level ", level),
            Pooling::kDevice);
    }
  }
}

TEST_P(SparseAttentionLawsCuda, ValuesOfOneGiveOne) {
  for (const SparseSize& size : sizes([](int) { return 1000; })) {
    SparseCall call(size, dtype(), 40);
    call.fill(2, [](auto...) { return 1.0; });
    call.set_levels([&](auto...) { return call.any_level(false); });
    for (const bool portable : {false, true})
      for (const double value : run(call, portable).out)
        ASSERT_NEAR(value, 1.0, dtype() == DType::kF32 ? 1e-5 : 0x1p-8) << size;
  }
}

// 3 v + 1/2 is exact for eighths and for means of eight of them, so only results are rounded.
TEST_P(SparseAttentionLawsCuda, ResultsAreAffineInTheValues) {
  std::uint64_t seed = 45;
  for (const SparseSize& size : sizes([](int key_block) { return 256 + 2 * key_block + 5; })) {
    SparseCall call(size, dtype(), ++seed);
    call.fill(2, [&](auto...) { return call.eighth(); });
    call.set_random_levels();
    std::fill_n(call.levels.begin(), size.key_blocks(), std::uint8_t{0});  // a row without any
    SparseAnswer truth = call.truth();
    check(call, "values");
    const std::vector<double> values = reference::elements<double>(call.part(2));
    call.fill(2, [&](std::int64_t b, std::int64_t t, std::int64_t n, std::int64_t d) {
      return 3.0 * values[call.index(b, t, n, d)] + 0.5;
    });
    for (std::int64_t t = 0; t < size.tokens; ++t)
      if (truth.lse[static_cast<std::size_t>(t)] != -kInfinity)  // no blocks give 0 all the same
        for (std::int64_t d = 0; d < size.depth; ++d) {
          double& value = truth.out[call.index(0, t, 0, d)];
          value = 3.0 * value + 0.5;
        }
    check(call, truth, "3 values + 1/2");
  }
}

// Adding a vector to all keys changes nothing but the lse, by scale q . vector. All sums of
// products are exact in float32.
TEST_P(SparseAttentionLawsCuda, ShiftOfAllKeysShiftsTheLse) {
  std::uint64_t seed = 50;
  for (const SparseSize& size : sizes([](int key_block) { return 256 + 2 * key_block + 12; })) {
    SparseCall call(size, dtype(), ++seed);
    for (const int part : {0, 1}) call.fill(part, [&](auto...) { return call.eighth(); });
    call.set_levels([&](auto...) { return call.any_level(false); });
    SparseAnswer truth = call.truth();
    check(call, "keys");
    const auto shift = [](std::int64_t d) { return d % 3 == 0 ? 0.5 : -0.25; };
    const std::vector<double> q = reference::elements<double>(call.part(0)),
                              keys = reference::elements<double>(call.part(1));
    call.fill(1, [&](std::int64_t b, std::int64_t t, std::int64_t n, std::int64_t d) {
      return keys[call.index(b, t, n, d)] + shift(d);
    });
    for (std::int64_t t = 0; t < size.tokens; ++t)
      for (std::int64_t d = 0; d < size.depth; ++d)
        truth.lse[static_cast<std::size_t>(t)] += call.scale * q[call.index(0, t, 0, d)] * shift(d);
    check(call, truth, "shifted keys");
  }
}

// One token more: query blocks that skip its key block keep their bits, the others see it.
TEST_P(SparseAttentionLawsCuda, AppendingATokenChangesOnlyWhatSeesIt) {
  constexpr std::int64_t kSeeing = 1;  // the query block that does
  std::size_t round = 0;
  for (const SparseSize& base : sizes([](int key_block) { return 256 + 2 * key_block; }))
    for (const std::int64_t tail : {0, 1, 7, 8, 16, base.key_block - 1}) {
      SparseSize size = base;
      size.tokens += tail;
      SparseSize longer_size = size;
      ++longer_size.tokens;
      SparseCall shorter(size, dtype(), 55), longer(longer_size, dtype(), 56);
      for (int part = 0; part < 3; ++part) {
        const std::vector<double> x = reference::elements<double>(shorter.part(part)),
                                  y = reference::elements<double>(longer.part(part));
        longer.fill(part, [&](std::int64_t b, std::int64_t t, std::int64_t n, std::int64_t d) {
          return t < size.tokens ? x[shorter.index(b, t, n, d)] : y[longer.index(b, t, n, d)];
        });
      }
      const std::int64_t appended_to = size.tokens / size.key_block;
      const int level = kPsaLevels[round++ % 4];
      for (SparseCall* call : {&shorter, &longer})
        call->set_levels([&](std::int64_t row, std::int64_t block) {
          return block == appended_to ? (row == kSeeing ? level : 0) : block % 3 == 0 ? 2 : 8;
        });
      check(longer, "a token more", Pooling::kDevice);
      for (const bool portable : {false, true}) {
        const Result before = run(shorter, portable, Pooling::kDevice);
        const Result after = run(longer, portable, Pooling::kDevice);
        for (std::int64_t i = 0; i < size.query_blocks(); ++i)
          EXPECT_EQ(same_query_block(shorter, before, longer, after, i), i != kSeeing)
              << longer_size << ", level " << level << ", query block " << i;
      }
    }
}

PSAGEN_CUDA_PARITY(SparseAttentionLawsCuda);

}  // namespace
}  // namespace psagen::kernels
