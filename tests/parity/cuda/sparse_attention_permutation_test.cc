// Laws of order in sparse attention (spec psa.md 11.7) on the GPU, with the pyramid made there:
// what is moved along with all that belongs to it comes out as before.
#include <algorithm>
#include <memory>
#include <numeric>
#include <random>

#include "tests/parity/cuda/sparse_attention_fixture.h"

namespace psagen::kernels {
namespace {

class SparseAttentionPermutationCuda : public SparseAttentionCuda {
 protected:
  using Order = std::vector<std::int64_t>;

  // Five key blocks and a part-filled one, whose last groups of 4 and 8 have three tokens.
  static std::vector<SparseSize> sizes() {
    std::vector<SparseSize> result;
    for (const int key_block : {128, 64, 32})
      for (const std::int64_t depth : {64, 128})
        result.push_back(
            {.tokens = 5 * key_block + key_block / 2 + 3, .depth = depth, .key_block = key_block});
    return result;
  }

  // Of the key blocks of sizes(); a query block skips some of them.
  static int level_of(std::int64_t block) {
    constexpr int kLevels[] = {2, 8, 4, 1, 2, 8};
    return kLevels[block];
  }
  static void set_levels_of_blocks(SparseCall& call) {
    call.set_levels([](std::int64_t row, std::int64_t block) {
      return (row + block) % 4 == 1 ? 0 : level_of(block);
    });
  }

  static Order in_place(std::int64_t tokens) {
    Order order(static_cast<std::size_t>(tokens));
    std::iota(order.begin(), order.end(), 0);
    return order;
  }

  // The call, with token from[t] in place of token t, of the keys and values or of the queries.
  enum class Moves { kKeysAndValues, kQueries };
  static std::unique_ptr<SparseCall> moved_call(const SparseCall& call, Moves moves,
                                                const Order& from) {
    auto moved = std::make_unique<SparseCall>(call.size, call.dtype, 1);
    for (int part = 0; part < 3; ++part) {
      const bool stays = (part == 0) != (moves == Moves::kQueries);
      const std::vector<double> x = reference::elements<double>(call.part(part));
      moved->fill(part, [&](std::int64_t b, std::int64_t t, std::int64_t n, std::int64_t d) {
        return x[call.index(b, stays ? t : from[static_cast<std::size_t>(t)], n, d)];
      });
    }
    moved->levels = call.levels;
    return moved;
  }
};

// Sums of eighths are exact, so the means are the same bits, and all that follows from them.
TEST_P(SparseAttentionPermutationCuda, TokensMovedInsideTheirGroupsChangeNoBit) {
  std::mt19937_64 random(1);
  for (const SparseSize& size : sizes()) {
    SparseCall call(size, dtype(), random());
    for (const int part : {1, 2}) call.fill(part, [&](auto...) { return call.eighth(); });
    set_levels_of_blocks(call);
    Order from = in_place(size.tokens);
    for (std::int64_t block = 0; block < size.key_blocks(); ++block)
      for (std::int64_t first = block * size.key_block;
           first < std::min((block + 1) * size.key_block, size.tokens); first += level_of(block))
        std::shuffle(from.begin() + first,
                     from.begin() + std::min(first + level_of(block), size.tokens), random);
    const auto moved = moved_call(call, Moves::kKeysAndValues, from);
    check(*moved, call.truth(), "tokens moved inside their groups", Pooling::kDevice);
    for (const bool portable : {false, true})
      EXPECT_TRUE(
          same_bits(run(call, portable, Pooling::kDevice), run(*moved, portable, Pooling::kDevice)))
          << size << (portable ? ", portable" : "");
  }
}

// A part-filled group has to stay the last one.
TEST_P(SparseAttentionPermutationCuda, GroupsMovedInsideTheirBlocksChangeNothing) {
  std::mt19937_64 random(2);
  for (const SparseSize& size : sizes()) {
    SparseCall call(size, dtype(), random());
    set_levels_of_blocks(call);
    Order from = in_place(size.tokens);
    for (std::int64_t block = 0; block < size.key_blocks(); ++block) {
      const std::int64_t first = block * size.key_block, group = level_of(block);
      Order groups = in_place(size.pyramid().block_tokens(block) / group);
      std::shuffle(groups.begin(), groups.end(), random);
      for (std::int64_t t = 0; t < std::ssize(groups) * group; ++t)
        from[static_cast<std::size_t>(first + t)] =
            first + groups[static_cast<std::size_t>(t / group)] * group + t % group;
    }
    check(*moved_call(call, Moves::kKeysAndValues, from), call.truth(),
          "groups moved inside their blocks", Pooling::kDevice);
  }
}

// The same answer up to the order of sums.
TEST_P(SparseAttentionPermutationCuda, BlocksMovedWithTheirLevelsChangeNothing) {
  for (const int key_block : {128, 64, 32})
    for (const std::int64_t depth : {64, 128}) {
      SparseCall call({.tokens = 12 * key_block, .depth = depth, .key_block = key_block}, dtype(),
                      60);
      call.set_levels([&](auto...) { return call.any_level(false); });
      const std::int64_t blocks = call.size.key_blocks();
      const auto from_block = [&](std::int64_t block) { return (block * 5 + 7) % blocks; };
      Order from;
      for (std::int64_t t = 0; t < call.size.tokens; ++t)
        from.push_back(from_block(t / key_block) * key_block + t % key_block);
      const auto moved = moved_call(call, Moves::kKeysAndValues, from);
      moved->set_levels([&](std::int64_t row, std::int64_t block) {
        return call.levels[static_cast<std::size_t>(row * blocks + from_block(block))];
      });
      check(*moved, call.truth(), "blocks moved", Pooling::kDevice);
    }
}

// Rows of query blocks know nothing of each other.
TEST_P(SparseAttentionPermutationCuda, QueryBlocksMovedWithTheirLevelsMoveTheirBits) {
  constexpr std::int64_t kFrom[] = {3, 0, 4, 2, 1, 5};  // the last one is part-filled
  std::uint64_t seed = 70;
  for (const int key_block : {128, 64, 32})
    for (const std::int64_t depth : {64, 128}) {
      const SparseSize size = {.tokens = 5 * 128 + 9, .depth = depth, .key_block = key_block};
      SparseCall call(size, dtype(), ++seed);
      call.set_random_levels();
      Order from;
      for (std::int64_t t = 0; t < size.tokens; ++t) from.push_back(kFrom[t / 128] * 128 + t % 128);
      const auto moved = moved_call(call, Moves::kQueries, from);
      moved->set_levels([&](std::int64_t row, std::int64_t block) {
        return call.levels[static_cast<std::size_t>(kFrom[row] * size.key_blocks() + block)];
      });
      for (const bool portable : {false, true}) {
        const Result before = run(call, portable, Pooling::kDevice);
        Result wanted;
        for (std::int64_t t = 0; t < size.tokens; ++t) {
          const std::int64_t source = from[static_cast<std::size_t>(t)];
          for (std::int64_t d = 0; d < depth; ++d)
            wanted.out.push_back(before.out[call.index(0, source, 0, d)]);
          wanted.lse.push_back(before.lse[static_cast<std::size_t>(source)]);
        }
        const Result after = run(*moved, portable, Pooling::kDevice);
        EXPECT_TRUE(same_bits(after, wanted)) << size << (portable ? ", portable" : "");
        EXPECT_FALSE(same_bits(after, before)) << size << ": nothing moved";
      }
    }
}

PSAGEN_CUDA_PARITY(SparseAttentionPermutationCuda);

}  // namespace
}  // namespace psagen::kernels
