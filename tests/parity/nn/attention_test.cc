#include "kernels/reference/attention.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "tests/parity/nn/nn_parity.h"

namespace psagen::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

class AttentionParity : public NnParity {
 protected:
  void check_attention(AttentionArgs args, const std::string& what) {
    const auto truth = reference::attention<double>(args);
    const auto naive = reference::attention<float>(args);
    check([&](Ops& ops) { ops.attention(args); }, args.out, truth.out, naive.out, what);
    if (args.lse) expect_close(args.lse, truth.lse, naive.lse, what + " lse");
  }
};

TEST_P(AttentionParity, EverySize) {
  struct Size {
    std::int64_t queries, keys, heads, depth;
  };
  const Size sizes[] = {{1, 1, 1, 1},      {1, 300, 2, 64},    {5, 7, 2, 8},     {33, 9, 1, 17},
                        {130, 40, 2, 64},  {129, 257, 1, 128}, {31, 128, 3, 96}, {64, 129, 1, 384},
                        {200, 136, 2, 20}, {15, 511, 1, 128}};
  std::uint64_t seed = 1;
  for (const Size& size : sizes) {
    const Tensor q = random({2, size.queries, size.heads, size.depth}, ++seed, DType::kF32, 2.0);
    const Tensor k = random({2, size.keys, size.heads, size.depth}, ++seed, DType::kF32, 2.0);
    const Tensor v = random({2, size.keys, size.heads, size.depth}, ++seed);
    Tensor out = empty({2, size.queries, size.heads, size.depth});
    Tensor lse = empty({2, size.heads, size.queries});
    const double scale = 1.0 / std::sqrt(static_cast<double>(size.depth));
    check_attention({.q = q, .k = k, .v = v, .scale = scale, .out = out, .lse = lse},
                    concat(size.queries, " x ", size.keys, " heads ", size.heads, " depth ",
                           size.depth, " seed ", seed));
  }
}

TEST_P(AttentionParity, ViewsOfOneProjection) {
  const std::int64_t tokens = 77, heads = 2, depth = 64;
  const Tensor qkv = random({2, tokens, 3 * heads * depth + 1}, 20);
  const auto part = [&](std::int64_t index) {
    return qkv.view()
        .slice(2, index * heads * depth, (index + 1) * heads * depth)
        .split_last(heads, depth);
  };
  Tensor wide = empty({2, tokens, heads, depth + 3});
  const TensorView out = wide.view().slice(3, 1, 1 + depth);
  check_attention({.q = part(0), .k = part(1), .v = part(2), .scale = 0.125, .out = out}, "views");
}

TEST_P(AttentionParity, BiasOfEachHead) {
  for (const std::int64_t keys : {6, 150}) {
    const Tensor q = random({2, 45, 3, 32}, 30), k = random({2, keys, 3, 32}, 31);
    const Tensor v = random({2, keys, 3, 32}, 32);
    Tensor bias = random({3, 45, keys}, 33, DType::kF32, 4.0);
    for (std::int64_t i = 0; i < 3 * 45; ++i) bias.view().data<float>()[i * keys] = -kInfinity;
    Tensor out = empty({2, 45, 3, 32});
    Tensor lse = empty({2, 3, 45});
    check_attention({.q = q, .k = k, .v = v, .bias = bias, .out = out, .lse = lse},
                    concat("bias, keys ", keys));
  }
}

TEST_P(AttentionParity, KeyLogWeights) {
  const std::int64_t keys = 140;
  const Tensor q = random({2, 50, 2, 64}, 40), k = random({2, keys, 2, 64}, 41);
  const Tensor v = random({2, keys, 2, 64}, 42);
  Tensor weight = random({2, keys}, 43, DType::kF32, 2.0);
  for (std::int64_t i = 0; i < keys; i += 3) weight.view().data<float>()[i] = -kInfinity;
  for (std::int64_t i = 0; i < 130; ++i)  // a whole tile and more of batch 1 is left out
    weight.view().data<float>()[keys + i] = -kInfinity;
  Tensor out = empty({2, 50, 2, 64}), lse = empty({2, 2, 50});
  check_attention(
      {.q = q, .k = k, .v = v, .scale = 0.3, .key_log_weight = weight, .out = out, .lse = lse},
      "weights");
  const Tensor bias = random({2, 50, keys}, 44);
  check_attention({.q = q,
                   .k = k,
                   .v = v,
                   .scale = 0.3,
                   .bias = bias,
                   .key_log_weight = weight,
                   .out = out,
                   .lse = lse},
                  "weights and bias");
}

TEST_P(AttentionParity, NoKeyLeftGivesZeros) {
  const Tensor q = random({1, 3, 1, 16}, 50), k = random({1, 9, 1, 16}, 51);
  const Tensor v = random({1, 9, 1, 16}, 52);
  Tensor weight = random({1, 9}, 53);
  std::fill_n(weight.view().data<float>(), 9, -kInfinity);
  Tensor out = empty({1, 3, 1, 16}), lse = empty({1, 1, 3});
  check_attention({.q = q, .k = k, .v = v, .key_log_weight = weight, .out = out, .lse = lse},
                  "no key");
}

// What is not finite has to be seen behind the op: health checks look nowhere else.
TEST_P(AttentionParity, NanAndInfinityAreNotLost) {
  const std::int64_t queries = 45, keys = 150, depth = 64;
  const float nan = std::bit_cast<float>(0x7fc00001u);  // with bits of its own
  for (const float bad : {nan, kInfinity})
    for (const int part : {0, 1, 2}) {  // of q, of k, of v
      Tensor inputs[] = {random({1, queries, 1, depth}, 90), random({1, keys, 1, depth}, 91),
                         random({1, keys, 1, depth}, 92)};
      inputs[part].view().data<float>()[7 * depth + 3] = bad;
      Tensor out = empty({1, queries, 1, depth}), lse = empty({1, 1, queries});
      two_->attention(
          {.q = inputs[0], .k = inputs[1], .v = inputs[2], .scale = 0.125, .out = out, .lse = lse});
      std::int64_t rows = 0, logs = 0;
      for (std::int64_t row = 0; row < queries; ++row) {
        const float* const values = out.view().data<float>() + row * depth;
        rows +=
            std::all_of(values, values + depth, [](float x) { return std::isfinite(x); }) ? 0 : 1;
        logs += std::isfinite(lse.view().data<float>()[row]) ? 0 : 1;
      }
      const std::string what = concat("part ", part, ", ", bad);
      if (part == 0) {  // an infinity meets keys of both signs: its row and no other
        EXPECT_EQ(rows, 1) << what;
        EXPECT_EQ(logs, 1) << what;
      } else if (part == 1) {
        EXPECT_GE(rows, std::isnan(bad) ? queries : 1) << what;  // of -infinity a key is left out
        EXPECT_EQ(rows, logs) << what;
      } else {
        EXPECT_EQ(rows, queries) << what;
        EXPECT_EQ(logs, 0) << what;
      }
    }
}

TEST_P(AttentionParity, AWeightOfLnNStandsForNEqualKeys) {
  const Tensor q = random({1, 40, 1, 32}, 60);
  const Tensor k = random({1, 10, 1, 32}, 61), v = random({1, 10, 1, 32}, 62);
  Tensor repeated_k = empty({1, 40, 1, 32}), repeated_v = empty({1, 40, 1, 32});
  for (std::int64_t i = 0; i < 40; ++i) {
    two_->copy(k.view().slice(1, i / 4, i / 4 + 1), repeated_k.view().slice(1, i, i + 1));
    two_->copy(v.view().slice(1, i / 4, i / 4 + 1), repeated_v.view().slice(1, i, i + 1));
  }
  Tensor weight = empty({1, 10});
  std::fill_n(weight.view().data<float>(), 10, std::log(4.0f));
  Tensor out = empty({1, 40, 1, 32});
  const AttentionArgs plain{.q = q, .k = repeated_k, .v = repeated_v, .out = out};
  const auto truth = reference::attention<double>(plain).out;
  const auto naive = reference::attention<float>(plain).out;
  check(
      [&](Ops& ops) {
        ops.attention({.q = q, .k = k, .v = v, .key_log_weight = weight, .out = out});
      },
      out, truth, naive, "ln 4");
}

// Scores of +-1000 and more: the running maximum must be taken off before the exponential.
TEST_P(AttentionParity, LargeScores) {
  const Tensor q = random({1, 70, 1, 64}, 70, DType::kF32, 30.0);
  const Tensor k = random({1, 300, 1, 64}, 71, DType::kF32, 30.0);
  const Tensor v = random({1, 300, 1, 64}, 72);
  Tensor out = empty({1, 70, 1, 64}), lse = empty({1, 1, 70});
  check_attention({.q = q, .k = k, .v = v, .out = out, .lse = lse}, "large scores");
}

TEST_P(AttentionParity, ManyHeadsInSeveralGroups) {
  // 3 MB of packed keys and values a head: more heads than are packed at a time.
  const Tensor q = random({1, 4, 12, 128}, 80), k = random({1, 3000, 12, 128}, 81);
  const Tensor v = random({1, 3000, 12, 128}, 82);
  Tensor out = empty({1, 4, 12, 128});
  check_attention({.q = q, .k = k, .v = v, .scale = 0.125, .out = out}, "12 heads of 3000 keys");
}

PSAGEN_NN_PARITY_TARGETS(AttentionParity);

}  // namespace
}  // namespace psagen::kernels
