// Laws of sparse attention (spec psa.md section 11) that hold whatever the reference says, on the
// GPU. Inputs are chosen so that means and probabilities are exact in 16 bits where a law is.
#include "kernels/reference/attention.h"
#include "tests/parity/cuda/sparse_attention_fixture.h"

namespace psagen::kernels {
namespace {

class SparseAttentionLawsCuda : public SparseAttentionCuda {
 protected:
  static constexpr double kInfinity = std::numeric_limits<double>::infinity();

  // Halves and quarters: exact in 16 bits, and so are their means.
  static double eighth(SparseCall& call) { return static_cast<double>(call.below(17) - 8) / 8.0; }

  static std::vector<SparseSize> sizes() {
    std::vector<SparseSize> result;
    for (const int key_block : {128, 64, 32})
      for (const std::int64_t depth : {64, 128})
        result.push_back({.tokens = 2048, .depth = depth, .key_block = key_block});
    return result;
  }

  double out(const SparseCall& call, const Result& result, std::int64_t token,
             std::int64_t channel) {
    return result.out[call.index(0, token, 0, channel)];
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
    for (const std::int64_t tokens : {5, 127, 129, 311, 640}) {
      SparseCall call(
          {.batch = 2, .tokens = tokens, .heads = 2, .depth = 128, .key_block = key_block}, dtype(),
          static_cast<std::uint64_t>(tokens));
      const AttentionArgs args{
          .q = call.part(0), .k = call.part(1), .v = call.part(2), .scale = call.scale, .out = {}};
      const auto dense = reference::attention<double>(args);
      check(call, {.out = dense.out, .lse = dense.lse}, "all at level 1");
    }
}

TEST_P(SparseAttentionLawsCuda, SecondHalfAtOneLevelHasMean1535) {
  for (const SparseSize& size : sizes())
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
  for (const int key_block : {128, 64, 32}) {
    SparseCall call({.tokens = 20 * key_block + 5, .depth = 64, .key_block = key_block}, dtype(),
                    20);
    call.set_random_levels();
    call.fill(2, [&](std::int64_t, std::int64_t t, std::int64_t, std::int64_t d) {
      return t / key_block == d ? 1.0 : 0.0;
    });
    check(call, "ownership");
    for (const bool portable : {false, true}) {
      const Result result = run(call, portable);
      for (std::int64_t t = 0; t < call.size.tokens; ++t) {
        double sum = 0.0;
        for (std::int64_t j = 0; j < call.size.key_blocks(); ++j) {
          const std::int64_t row = t / call.size.query_block;
          if (call.levels[static_cast<std::size_t>(row * call.size.key_blocks() + j)] == 0) {
            ASSERT_EQ(out(call, result, t, j), 0.0) << call.size << ", token " << t;
          }
          sum += out(call, result, t, j);
        }
        ASSERT_NEAR(sum, 1.0, dtype() == DType::kF32 ? 1e-5 : 0x1p-7) << call.size;
      }
    }
  }
}

// Keys alike in groups of eight: every level gives what level 1 gives.
TEST_P(SparseAttentionLawsCuda, KeysAlikeInTheirGroupsMakeEveryLevelExact) {
  for (const int key_block : {128, 64, 32}) {
    SparseCall call({.tokens = 5 * 128 + 24, .depth = 128, .key_block = key_block}, dtype(), 30);
    std::vector<double> keys;
    for (std::int64_t i = 0; i < call.size.tokens / 8 * call.size.depth; ++i)
      keys.push_back(call.real(-2.0, 2.0));
    call.fill(1, [&](std::int64_t, std::int64_t t, std::int64_t, std::int64_t d) {
      return keys[static_cast<std::size_t>(t / 8 * call.size.depth + d)];
    });
    call.set_random_levels();
    SparseCall::Levels fine = call.levels;
    for (std::uint8_t& level : fine) level = level == 0 ? 0 : 1;
    check(call, call.truth(fine), "keys alike");
  }
}

TEST_P(SparseAttentionLawsCuda, ValuesOfOneGiveOne) {
  for (const int key_block : {128, 64, 32}) {
    SparseCall call({.tokens = 1000, .depth = 64, .key_block = key_block}, dtype(), 40);
    call.fill(2, [](auto...) { return 1.0; });
    call.set_levels([&](auto...) { return call.any_level(false); });
    for (const bool portable : {false, true})
      for (const double value : run(call, portable).out)
        ASSERT_NEAR(value, 1.0, dtype() == DType::kF32 ? 1e-5 : 0x1p-8) << call.size;
  }
}

// Adding a vector to all keys changes nothing but the lse, by scale q . vector.
TEST_P(SparseAttentionLawsCuda, ShiftOfAllKeysShiftsTheLse) {
  SparseCall call({.tokens = 700, .depth = 64, .key_block = 64}, dtype(), 50);
  std::vector<double> keys;
  for (std::int64_t i = 0; i < call.size.tokens * call.size.depth; ++i)
    keys.push_back(eighth(call) / 4.0);
  const auto key = [&](double shift) {
    return [&keys, &call, shift](std::int64_t, std::int64_t t, std::int64_t, std::int64_t d) {
      return keys[static_cast<std::size_t>(t * call.size.depth + d)] + shift;
    };
  };
  call.fill(0, [&](auto...) { return eighth(call); });
  call.set_levels([&](auto...) { return call.any_level(false); });
  for (const bool portable : {false, true}) {
    call.fill(1, key(0.0));
    const Result plain = run(call, portable);
    call.fill(1, key(0.25));
    const Result shifted = run(call, portable);
    const std::vector<double> q = reference::elements<double>(call.part(0));
    double squares = 0.0, difference = 0.0;
    for (std::size_t i = 0; i < plain.out.size(); ++i) {
      squares += plain.out[i] * plain.out[i];
      difference += std::pow(plain.out[i] - shifted.out[i], 2);
    }
    EXPECT_LE(std::sqrt(difference / squares), dtype() == DType::kF32 ? 1e-5 : 5e-3);
    for (std::int64_t t = 0; t < call.size.tokens; ++t) {
      double shift = 0.0;
      for (std::int64_t d = 0; d < call.size.depth; ++d)
        shift += 0.25 * q[call.index(0, t, 0, d)] * call.scale;
      const auto at = static_cast<std::size_t>(t);
      ASSERT_NEAR(shifted.lse[at] - plain.lse[at], shift, 2e-5);
    }
  }
}

// Blocks moved together with their levels: the same answer up to the order of sums.
TEST_P(SparseAttentionLawsCuda, MovingBlocksWithTheirLevelsChangesNothing) {
  for (const int key_block : {128, 64, 32}) {
    SparseCall call({.tokens = 12 * key_block, .depth = 128, .key_block = key_block}, dtype(), 60);
    call.set_levels([&](auto...) { return call.any_level(false); });
    SparseCall moved({.tokens = 12 * key_block, .depth = 128, .key_block = key_block}, dtype(), 60);
    const std::int64_t blocks = call.size.key_blocks();
    const auto from = [&](std::int64_t block) { return (block * 5 + 7) % blocks; };
    for (int part = 1; part < 3; ++part) {
      const std::vector<double> x = reference::elements<double>(call.part(part));
      moved.fill(part, [&](std::int64_t b, std::int64_t t, std::int64_t n, std::int64_t d) {
        return x[call.index(b, from(t / key_block) * key_block + t % key_block, n, d)];
      });
    }
    moved.set_levels([&](std::int64_t row, std::int64_t block) {
      return call.levels[static_cast<std::size_t>(row * blocks + from(block))];
    });
    check(moved, call.truth(), "moved blocks");
  }
}

// Pooling loses mass, never gains it; one more block adds some.
TEST_P(SparseAttentionLawsCuda, LseFallsWithCoarserLevelsAndRisesWithMoreBlocks) {
  for (const int key_block : {128, 64, 32}) {
    SparseCall call({.tokens = 6 * 128 + 40, .depth = 64, .key_block = key_block}, dtype(), 70);
    for (const int part : {0, 1}) call.fill(part, [&](auto...) { return eighth(call); });
    constexpr int kSteps[] = {8, 4, 2, 1};
    for (const bool portable : {false, true}) {
      std::vector<double> before;
      const SparseCall::Levels start = [&] {
        call.set_levels([](std::int64_t, std::int64_t block) { return block == 0 ? 8 : 0; });
        return call.levels;
      }();
      call.levels = start;
      for (std::int64_t block = 0; block < call.size.key_blocks(); ++block)
        for (const int level : kSteps) {
          for (std::int64_t row = 0; row < call.size.rows(); ++row)
            call.levels[static_cast<std::size_t>(row * call.size.key_blocks() + block)] =
                static_cast<std::uint8_t>(level);
          const std::vector<double> lse = run(call, portable).lse;
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

// What went wrong before is seen behind, and only there. Every other row skips the block in
// question, and there are more rows than multiprocessors: shared memory has held it by then.
TEST_P(SparseAttentionLawsCuda, NanIsSeenByThoseThatReadIt) {
  constexpr std::int64_t kChannel = 5;
  constexpr int kLevelOfRow[] = {1, 0, 2, 0, 4, 0, 8};
  const auto level_of = [&](std::int64_t row) { return kLevelOfRow[row % 7]; };
  // In a whole block or in the last one, by head.
  const auto token_of = [](std::int64_t head) { return head % 2 == 0 ? 50 : 139; };
  for (const int key_block : {128, 64, 32})
    for (const std::int64_t depth : {64, 128}) {
      SparseCall call({.tokens = 140,
                       .heads = dtype() == DType::kF32 ? 14 : 140,
                       .depth = depth,
                       .key_block = key_block},
                      dtype(), 80);
      call.set_levels([&](std::int64_t row, std::int64_t block) {
        return block == token_of(row / 2) / key_block ? level_of(row) : call.any_level(false);
      });
      for (const int part : {0, 1, 2}) {  // of q, of k, of v
        const auto value = [&](std::int64_t, std::int64_t t, std::int64_t n, std::int64_t d) {
          return t == token_of(n) && d == kChannel ? std::numeric_limits<double>::quiet_NaN()
                                                   : call.real(-2.0, 2.0);
        };
        call.fill(part, value);
        for (const bool portable : {false, true}) {
          const Result result = run(call, portable);
          for (std::int64_t n = 0; n < call.size.heads; ++n)
            for (std::int64_t t = 0; t < call.size.tokens; ++t) {
              const bool reads =
                  part == 0 ? t == token_of(n) : level_of(2 * n + t / call.size.query_block) != 0;
              const auto where = [&] {
                return concat(call.size, portable ? ", portable" : "", ", part ", part, ", head ",
                              n, ", token ", t);
              };
              ASSERT_EQ(
                  std::isfinite(result.lse[static_cast<std::size_t>(n * call.size.tokens + t)]),
                  part == 2 || !reads)
                  << where();
              for (std::int64_t d = 0; d < depth; ++d)
                ASSERT_EQ(std::isfinite(result.out[call.index(0, t, n, d)]),
                          !reads || (part == 2 && d != kChannel))
                    << where() << ", channel " << d;
            }
        }
        call.fill(part, [&](auto...) { return call.real(-2.0, 2.0); });
      }
    }
}

PSAGEN_CUDA_PARITY(SparseAttentionLawsCuda);

}  // namespace
}  // namespace psagen::kernels
