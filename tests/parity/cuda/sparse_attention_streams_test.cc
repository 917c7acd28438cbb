// Sparse attention of two contexts at once (spec psa.md 11.16): each has its stream, its scratch
// memory and its counters, so calls side by side give the bits of each alone.
#include <memory>

#include "tests/parity/cuda/sparse_attention_fixture.h"

namespace psagen::kernels {
namespace {

class SparseAttentionStreamsCuda : public SparseAttentionCuda {
 protected:
  static constexpr int kRounds = 4;

  struct Side {
    std::unique_ptr<SparseCall> call;
    std::unique_ptr<Context> context;
    std::unique_ptr<Ops> ops;
    Result alone;
    std::vector<Prepared> rounds;  // each has results of its own
  };

  Side side(std::unique_ptr<SparseCall> call, bool portable) {
    auto context = make_context(
        {.device = {DeviceKind::kCuda, 0}, .compute_dtype = dtype(), .portable_kernels = portable});
    auto side_ops = make_ops(*context);
    Side result{std::move(call), std::move(context), std::move(side_ops), {}, {}};
    result.alone = run(*result.call, *result.ops, Pooling::kDevice);
    for (int round = 0; round < kRounds; ++round)
      result.rounds.push_back(prepare(*result.call, Pooling::kDevice));
    return result;
  }

  void expect_alone_and_together_alike(Side (&sides)[2], const std::string& what) {
    context_->runtime()->synchronize();
    for (std::size_t round = 0; round < kRounds; ++round)
      for (Side& side : sides) launch(*side.ops, side.rounds[round]);
    for (Side& side : sides) side.context->runtime()->synchronize();
    for (std::size_t round = 0; round < kRounds; ++round)
      for (Side& side : sides)
        EXPECT_TRUE(same_bits(collect(*side.call, side.rounds[round]), side.alone))
            << what << ", round " << round << ": " << side.call->size;
  }

  std::unique_ptr<SparseCall> random_call(const SparseSize& size, std::uint64_t seed) {
    auto call = std::make_unique<SparseCall>(size, dtype(), seed);
    call->set_random_levels();
    return call;
  }

  // Long enough for its last rows to be done in parts: three keep all they have, the others a
  // block each.
  std::unique_ptr<SparseCall> call_in_parts(std::uint64_t seed) {
    auto call = random_call({.tokens = 24 * 1024 + 24, .depth = 128}, seed);
    const auto key_blocks = static_cast<std::size_t>(call->size.key_blocks());
    for (std::size_t i = 0; i < call->levels.size() - 3 * key_blocks; ++i)
      if (i % key_blocks != i / key_blocks) call->levels[i] = 0;
    return call;
  }
};

// What few multiprocessors have room for, so that both are at work at the same time.
TEST_P(SparseAttentionStreamsCuda, SmallCalls) {
  const bool kinds[][2] = {{false, false}, {false, true}, {true, true}};
  std::uint64_t seed = 1;
  for (const bool(&portable)[2] : kinds)
    for (const int key_block : {128, 64, 32}) {
      Side sides[] = {
          side(random_call({.tokens = 700, .heads = 3, .depth = 128, .key_block = key_block},
                           ++seed),
               portable[0]),
          side(random_call({.batch = 2, .tokens = 530, .heads = 2, .depth = 64, .key_block = 64},
                           ++seed),
               portable[1])};
      expect_alone_and_together_alike(sides, concat(portable[0] ? "portable" : "default", " and ",
                                                    portable[1] ? "portable" : "default"));
    }
}

TEST_P(SparseAttentionStreamsCuda, RowsInPartsBesideManyRows) {
  for (const bool portable : {false, true}) {
    Side sides[] = {
        side(call_in_parts(30), portable),
        side(random_call({.tokens = 140, .heads = 240, .depth = 64, .key_block = 32}, 31),
             portable)};
    expect_alone_and_together_alike(sides, portable ? "portable" : "default");
  }
}

// Both with counters of the same kind in use.
TEST_P(SparseAttentionStreamsCuda, RowsInPartsOnBothSides) {
  Side sides[] = {side(call_in_parts(40), false), side(call_in_parts(41), false)};
  expect_alone_and_together_alike(sides, "rows in parts");
}

PSAGEN_CUDA_PARITY(SparseAttentionStreamsCuda);

}  // namespace
}  // namespace psagen::kernels
