// Sparse attention on the GPU against the double-precision reference, by the Hopper kernel, the
// portable one and (F32, other head dimensions and query blocks) a warp a query.
//
// PSAGEN_RANDOM_CASES=10000 runs as many random cases of each type; the answers are worked out on
// all threads.
#include <atomic>
#include <cstdlib>
#include <thread>

#include "tests/parity/cuda/sparse_attention_fixture.h"

namespace psagen::kernels {
namespace {

TEST_P(SparseAttentionCuda, EveryLengthAtEveryLevel) {
  std::uint64_t seed = 0;
  for (const std::int64_t depth : {64, 128})
    for (const int key_block : {128, 64, 32})
      for (const std::int64_t tokens : {1, 7, 31, 32, 33, 63, 65, 127, 128, 129, 131, 257, 300})
        for (const int level : {1, 2, 4, 8}) {
          SparseCall call({.tokens = tokens, .depth = depth, .key_block = key_block}, dtype(),
                          ++seed);
          call.set_levels([level](auto...) { return level; });
          check(call, concat("level ", level));
        }
}

TEST_P(SparseAttentionCuda, AnyMixOfLevels) {
  std::uint64_t seed = 100;
  for (const std::int64_t depth : {64, 128})
    for (const int key_block : {128, 64, 32})
      for (const std::int64_t tokens : {40, 130, 383, 900}) {
        SparseCall call(
            {.batch = 2, .tokens = tokens, .heads = 2, .depth = depth, .key_block = key_block},
            dtype(), ++seed);
        call.set_random_levels();
        check(call, "mixed");
        call.set_levels([&](auto...) { return call.any_level(false); });
        check(call, "mixed, nothing skipped");
      }
}

// More rows than a persistent block of threads takes in three turns of its rings.
TEST_P(SparseAttentionCuda, ManyRows) {
  for (const std::int64_t depth : {64, 128}) {
    SparseCall call({.tokens = 140, .heads = 240, .depth = depth, .key_block = 32}, dtype(), 5);
    call.set_random_levels();
    check(call, "480 rows");
  }
}

TEST_P(SparseAttentionCuda, LongRows) {
  for (const int key_block : {128, 32}) {
    SparseCall call({.tokens = 5000, .depth = 128, .key_block = key_block}, dtype(), 6);
    call.set_random_levels();
    // Of two query blocks; the others keep one key block, or the reference would take minutes.
    const auto key_blocks = static_cast<std::size_t>(call.size.key_blocks());
    for (std::size_t i = 2 * key_blocks; i < call.levels.size(); ++i)
      if (i % key_blocks != 0) call.levels[i] = 0;
    check(call, "long rows");
  }
}

// As many key blocks as a row of the published models has at the most.
TEST_P(SparseAttentionCuda, RowsOfThousandsOfKeyBlocks) {
  SparseCall call({.tokens = 590 * 128 + 5, .depth = 64, .key_block = 32}, dtype(), 13);
  const std::int64_t last = call.size.rows() - 1;
  ASSERT_EQ(call.size.key_blocks(), 2361);
  // Here and there one key block, so that a wrong one is all that its row has.
  call.set_levels([&](std::int64_t row, std::int64_t block) {
    return block == std::min(4 * row + row % 4, call.size.key_blocks() - 1) ? 1 << row / 4 % 4 : 0;
  });
  check(call, "one key block a row");
  // Two rows of all levels, of which the last is done in parts; the others have no key, and no
  // error that would hide theirs.
  call.set_levels([&](std::int64_t row, std::int64_t) {
    return row == 0 || row == last ? call.any_level() : 0;
  });
  check(call, "two rows");
}

// As many tokens as it takes for the last rows to be done in parts, some of which have no tile.
TEST_P(SparseAttentionCuda, RowsInParts) {
  SparseCall call({.tokens = 24 * 1024 + 24, .depth = 128, .key_block = 128}, dtype(), 12);
  call.set_random_levels();
  // The last three rows stay as they are, the others keep one key block.
  const auto key_blocks = static_cast<std::size_t>(call.size.key_blocks());
  for (std::size_t i = 0; i < call.levels.size() - 3 * key_blocks; ++i)
    if (i % key_blocks != i / key_blocks) call.levels[i] = 0;
  check(call, "rows in parts");
}

TEST_P(SparseAttentionCuda, OtherHeadsAndQueryBlocks) {
  std::uint64_t seed = 200;
  for (const std::int64_t depth : {8, 40, 96, 256})
    for (const int query_block : {128, 64, 32}) {
      SparseCall call({.batch = 2,
                       .tokens = 150,
                       .heads = 2,
                       .depth = depth,
                       .key_block = 64,
                       .query_block = query_block},
                      dtype(), ++seed);
      call.set_random_levels();
      check(call, "a warp a query");
    }
}

TEST_P(SparseAttentionCuda, RowsThatAreNotAligned) {
  for (const std::int64_t depth : {64, 128}) {
    SparseCall call({.batch = 2,
                     .tokens = 200,
                     .heads = 2,
                     .depth = depth,
                     .key_block = 64,
                     .extra_columns = 1},
                    dtype(), 11);
    call.set_random_levels();
    check(call, "one column more");
  }
}

TEST_P(SparseAttentionCuda, AnyScale) {
  for (const double scale : {-0.2, 0.0, 0.01, 1.0}) {
    SparseCall call({.tokens = 200, .depth = 64, .key_block = 32}, dtype(), 7);
    call.scale = scale;
    call.set_random_levels();
    check(call, concat("scale ", scale));
  }
}

TEST_P(SparseAttentionCuda, OneBlockInEachPlaceAndEmptyRows) {
  std::uint64_t seed = 300;
  for (const std::int64_t depth : {64, 128})
    for (const int key_block : {128, 64, 32})
      for (const int level : {1, 2, 4, 8}) {
        SparseCall call({.tokens = 4 * 128 + 9, .depth = depth, .key_block = key_block}, dtype(),
                        ++seed);
        // The first block, the second, the last whole one, the part-filled one, none.
        const std::int64_t last = call.size.key_blocks() - 1;
        const std::int64_t kept[] = {0, 1, last - 1, last, -1};
        call.set_levels(
            [&](std::int64_t row, std::int64_t block) { return block == kept[row] ? level : 0; });
        check(call, concat("one block at level ", level));
      }
}

TEST_P(SparseAttentionCuda, PartFilledLastBlockAtEveryLevel) {
  std::uint64_t seed = 400;
  for (const std::int64_t depth : {64, 128})
    for (const int key_block : {128, 64, 32})
      for (const std::int64_t tail : {1, 2, 7, 8, 15, 16, key_block / 2, key_block - 1})
        for (const int level : {1, 2, 4, 8}) {
          SparseCall call({.tokens = 2 * key_block + tail, .depth = depth, .key_block = key_block},
                          dtype(), ++seed);
          const std::int64_t last = call.size.key_blocks() - 1;
          call.set_levels([&](std::int64_t, std::int64_t block) {
            return block == last ? level : call.any_level();
          });
          check(call, concat("last block at level ", level));
        }
}

// The order says when a row is worked on, not what comes out (of rows too short for parts).
TEST_P(SparseAttentionCuda, OrderChangesNoBit) {
  SparseCall call({.batch = 2, .tokens = 700, .heads = 3, .depth = 128, .key_block = 64}, dtype(),
                  8);
  call.set_random_levels();
  for (const bool portable : {false, true}) {
    call.order.clear();
    const Result plain = run(call, portable);
    for (std::int64_t row = 0; row < call.size.rows(); ++row)
      call.order.push_back(static_cast<std::int32_t>((row * 5 + 3) % call.size.rows()));
    ASSERT_NE(call.size.rows() % 5, 0);  // so that it is a permutation
    const Result ordered = run(call, portable);
    EXPECT_TRUE(same_bits(plain, ordered));
  }
}

// Columns that the kernels compute: whole tiles, or without tiles the rows there are.
TEST_P(SparseAttentionCuda, ExecutedDensity) {
  for (const std::int64_t depth : {128, 96}) {
    SparseCall call({.batch = 2, .tokens = 1000, .heads = 2, .depth = depth, .key_block = 64},
                    dtype(), 9);
    call.set_random_levels();
    const SparseSize& size = call.size;
    for (const bool portable : {false, true}) {
      const bool tiles = depth == 128 && dtype() != DType::kF32;
      const bool hopper = !portable && context_->runtime()->info().compute_capability == 90;
      const std::int64_t tile = !tiles ? 1 : hopper ? 128 : 64;
      const Result result = run(call, portable);
      for (std::int64_t head = 0; head < size.batch * size.heads; ++head) {
        std::int64_t columns = 0;
        for (std::int64_t i = 0; i < size.query_blocks(); ++i) {
          std::int64_t row = 0;
          for (std::int64_t j = 0; j < size.key_blocks(); ++j)
            if (const int level = call.levels[static_cast<std::size_t>(
                    (head * size.query_blocks() + i) * size.key_blocks() + j)];
                level != 0)
              row += tiles ? size.key_block / level : size.pyramid().block_rows(j, level);
          columns += (row + tile - 1) / tile * tile;
        }
        EXPECT_FLOAT_EQ(static_cast<float>(result.density[static_cast<std::size_t>(head)]),
                        static_cast<float>(static_cast<double>(columns) /
                                           static_cast<double>(size.query_blocks() * size.tokens)));
      }
    }
  }
}

struct RandomCase {
  std::unique_ptr<SparseCall> call;
  std::string what;
};

RandomCase random_case(std::uint64_t seed, DType dtype) {
  std::mt19937_64 random(seed);
  const auto below = [&](std::uint64_t limit) {
    return static_cast<std::int64_t>(random() % limit);
  };
  SparseSize size;
  size.key_block = 32 << below(3);
  size.depth = below(2) == 0 ? 64 : 128;
  size.batch = 1 + below(2);
  size.heads = 1 + below(2);
  size.tokens = 1 + below(below(8) == 0 ? 700 : 270);
  if (size.tokens > 270) size.batch = size.heads = 1;
  RandomCase result{std::make_unique<SparseCall>(size, dtype, seed), concat("random case ", seed)};
  SparseCall& call = *result.call;
  const std::int64_t kept = 1 + below(4), levels = below(6);  // of four blocks; up to 3: one level
  call.set_levels([&](auto...) {
    if (call.below(4) >= kept) return 0;
    return levels < 4 ? 1 << levels : call.any_level();
  });
  if (below(2) == 0) {
    for (std::int64_t row = 0; row < size.rows(); ++row)
      call.order.push_back(static_cast<std::int32_t>(row));
    std::shuffle(call.order.begin(), call.order.end(), random);
  }
  return result;
}

TEST_P(SparseAttentionCuda, RandomCases) {
  const char* const wanted = std::getenv("PSAGEN_RANDOM_CASES");
  const std::int64_t cases = wanted != nullptr ? std::atoll(wanted) : 100;
  constexpr std::int64_t kBatch = 256;
  const unsigned threads = std::max(1u, std::thread::hardware_concurrency());
  for (std::int64_t begin = 0; begin < cases && !HasFailure(); begin += kBatch) {
    struct Ran {
      RandomCase random;
      Result results[2];
    };
    std::vector<Ran> ran;
    for (std::int64_t i = begin; i < std::min(begin + kBatch, cases); ++i) {
      Ran one{random_case(static_cast<std::uint64_t>(1000 + i), dtype()), {}};
      for (const bool portable : {false, true})
        one.results[portable] = run(*one.random.call, portable);
      ran.push_back(std::move(one));
    }
    std::atomic<std::size_t> next = 0;
    std::vector<std::thread> workers;
    for (unsigned i = 0; i < threads; ++i)
      workers.emplace_back([&] {
        for (std::size_t at = next++; at < ran.size(); at = next++) {
          const SparseCall& call = *ran[at].random.call;
          const SparseAnswer truth = call.truth(), naive = call.naive();
          for (const bool portable : {false, true})
            expect_answer(
                ran[at].results[portable], truth, naive,
                concat(ran[at].random.what, ", ", call.size, portable ? ", portable" : ""));
        }
      });
    for (std::thread& worker : workers) worker.join();
  }
  RecordProperty("random_cases", static_cast<int>(cases));
}

PSAGEN_CUDA_PARITY(SparseAttentionCuda);

}  // namespace
}  // namespace psagen::kernels
