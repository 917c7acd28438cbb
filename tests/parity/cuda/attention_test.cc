// Attention on the GPU against the double-precision reference, by the kernels made for this GPU and
// by the portable ones. Head dimensions 64 and 128 in 16 bits go to the fused kernels; the others,
// F32 and whatever is not aligned go to matrix products with a softmax between.
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

#include "kernels/reference/attention.h"
#include "tests/parity/cuda/cuda_parity.h"

namespace psagen::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// One call twice: views of host memory for the reference, of device memory for the op. `out` and
// `lse` come with the check.
struct Call {
  AttentionArgs host, device;
};

double scale_of(std::int64_t depth) { return 1.0 / std::sqrt(static_cast<double>(depth)); }

class AttentionCuda : public CudaParity {
 protected:
  static Call call_of(const Mirrored& q, const Mirrored& k, const Mirrored& v, double scale) {
    return {{.q = q.host, .k = k.host, .v = v.host, .scale = scale, .out = {}},
            {.q = q.device, .k = k.device, .v = v.device, .scale = scale, .out = {}}};
  }

  Call random_call(std::int64_t batch, std::int64_t queries, std::int64_t keys, std::int64_t heads,
                   std::int64_t depth, double size = 1.0) {
    inputs_.push_back(random({batch, queries, heads, depth}, ++seed_, dtype(), size));
    inputs_.push_back(random({batch, keys, heads, depth}, ++seed_, dtype(), size));
    inputs_.push_back(random({batch, keys, heads, depth}, ++seed_, dtype()));
    const auto last = inputs_.end();
    return call_of(last[-3], last[-2], last[-1], scale_of(depth));
  }

  void give_weights(Call& call, Tensor weights) {
    inputs_.push_back(on_both(std::move(weights)));
    call.host.key_log_weight = inputs_.back().host;
    call.device.key_log_weight = inputs_.back().device;
  }

  void give_bias(Call& call, Tensor bias) {
    inputs_.push_back(on_both(std::move(bias)));
    call.host.bias = inputs_.back().host;
    call.device.bias = inputs_.back().device;
  }

  Tensor random_floats(Shape shape, double size) {
    return std::move(random(shape, ++seed_, DType::kF32, size).host);
  }

  static constexpr float kLog2E = 1.44269504f;

  struct Naive {
    std::vector<double> out, lse;
    double size = 0.0;  // the largest score, were all its products positive
  };

  // Everything in float32 but the probabilities, which are rounded to the type of v, as by every
  // method that multiplies them with v in that type. As in FlashAttention, powers of two in
  // one fused multiply-add, so that all probabilities of a row share a factor near 1 (the rounding
  // of the row's maximum) and their sum, taken before they are rounded, has it too.
  static Naive naive_attention(const AttentionArgs& args, DType out_type) {
    const auto q = reference::elements<float>(args.q), k = reference::elements<float>(args.k);
    const auto v = reference::elements<float>(args.v), bias = reference::elements<float>(args.bias);
    const auto weight = reference::elements<float>(args.key_log_weight);
    const auto queries = static_cast<std::size_t>(args.q.dim(1));
    const auto keys = static_cast<std::size_t>(args.k.dim(1));
    const auto heads = static_cast<std::size_t>(args.q.dim(2));
    const auto depth = static_cast<std::size_t>(args.q.dim(3));
    const auto scale = static_cast<float>(args.scale);
    Naive result;
    std::vector<float> scores(keys), sums(depth);
    for (std::size_t row = 0; row < q.size() / depth; ++row) {  // of q [B, Lq, N]
      const std::size_t head = row % heads, query = row / heads % queries;
      const std::size_t batch = row / heads / queries;
      for (std::size_t key = 0; key < keys; ++key) {
        const float* const a = q.data() + row * depth;
        const float* const b = k.data() + ((batch * keys + key) * heads + head) * depth;
        float score = 0.0f, size = 0.0f;
        for (std::size_t d = 0; d < depth; ++d) {
          score += a[d] * b[d];
          size += std::abs(a[d] * b[d]);
        }
        result.size = std::max(result.size, static_cast<double>(std::abs(size * scale)));
        scores[key] = score * scale;
        if (!bias.empty()) scores[key] += bias[(head * queries + query) * keys + key];
        if (!weight.empty()) scores[key] += weight[batch * keys + key];
      }
      const float max = *std::max_element(scores.begin(), scores.end());
      float sum = 0.0f;
      std::fill(sums.begin(), sums.end(), 0.0f);
      for (std::size_t key = 0; key < keys && max > -kInfinity; ++key) {
        const float whole = std::exp2(std::fma(scores[key], kLog2E, -(max * kLog2E)));
        const auto p = static_cast<float>(rounded(whole, args.v.dtype()));
        const float* const c = v.data() + ((batch * keys + key) * heads + head) * depth;
        sum += whole;
        for (std::size_t d = 0; d < depth; ++d) sums[d] += p * c[d];
      }
      for (const float value : sums)
        result.out.push_back(sum > 0.0f ? rounded(value / sum, out_type) : 0.0);
    }
    const auto plain = reference::attention<float>(args);
    result.lse.assign(plain.lse.begin(), plain.lse.end());
    return result;
  }

  // Runs the call by both sets of kernels, twice each. `margin` columns lie around the rows of out,
  // which with a margin of 8 are still aligned; lse always has them.
  void check(const Call& call, const std::string& what, std::int64_t margin = 8,
             bool with_lse = true, std::optional<DType> out_type = {}) {
    const DType type = out_type.value_or(dtype());
    const auto truth = reference::attention<double>(call.host);
    const Naive naive = naive_attention(call.host, type);
    for (const bool portable : {false, true}) {
      const std::string label = what + (portable ? ", portable" : "");
      const Result first = run(call, portable, margin, with_lse, type);
      expect_close(first.out, truth.out, naive.out, label);
      EXPECT_TRUE(first.margins_untouched) << label;
      if (with_lse) expect_close_lse(first.lse, truth.lse, naive, label + ", lse");
      const Result second = run(call, portable, margin, with_lse, type);
      EXPECT_TRUE(same_bits(first.out, second.out) && same_bits(first.lse, second.lse))
          << label << ": two runs differ";
    }
  }

  struct Result {
    std::vector<double> out, lse;
    bool margins_untouched = true;
  };

  Result run(const Call& call, bool portable, std::int64_t margin, bool with_lse, DType type) {
    const Shape& q = call.device.q.shape();
    Mirrored out = poisoned({q[0], q[1], q[2], q[3] + 2 * margin}, type);
    Mirrored lse = poisoned({q[0], q[2], q[1] + 2}, DType::kF32);
    AttentionArgs args = call.device;
    args.out = out.device.view().slice(3, margin, margin + q[3]);
    if (with_lse) args.lse = lse.device.view().slice(2, 1, 1 + q[1]);
    Ops& device_ops = portable ? portable_ops() : ops();
    context_->runtime()->synchronize();  // the two contexts have a stream each
    device_ops.attention(args);
    device_ops.context().runtime()->synchronize();
    Result result;
    inside(values(out.device), q[3], margin, result.out, result.margins_untouched);
    if (with_lse) inside(values(lse.device), q[1], 1, result.lse, result.margins_untouched);
    return result;
  }

  // What a call of two heads gives if in the second one channel 3 of token `token` of part 0, 1 or
  // 2 (q, k, v) is `bad`.
  static void expect_seen(const Result& result, std::int64_t depth, int part, std::int64_t token,
                          float bad, const std::string& what) {
    const auto queries = static_cast<std::int64_t>(result.lse.size() / 2);
    std::int64_t lost = 0;
    for (std::int64_t head = 0; head < 2; ++head)
      for (std::int64_t query = 0; query < queries; ++query) {
        const std::string where = concat(what, ", head ", head, ", query ", query);
        const bool reads = head == 1 && (part != 0 || query == token);
        const bool has_lse =
            std::isfinite(result.lse[static_cast<std::size_t>(head * queries + query)]);
        // Where its score is -infinity an infinite key is left out.
        if (reads && part == 1 && !std::isnan(bad))
          lost += has_lse ? 0 : 1;
        else
          ASSERT_EQ(has_lse, !reads || part == 2) << where;
        for (std::int64_t d = 0; d < depth; ++d) {
          const double value = result.out[static_cast<std::size_t>((query * 2 + head) * depth + d)];
          ASSERT_EQ(std::isfinite(value), part == 2 ? !reads || d != 3 : has_lse)
              << where << ", channel " << d;
        }
      }
    if (part == 1 && !std::isnan(bad)) {
      EXPECT_GT(lost, 0) << what;
    }
  }

 private:
  // Splits rows of `width` values into what lies within their margins and whether those are NaN
  // yet.
  static void inside(const std::vector<double>& wide, std::int64_t width, std::int64_t margin,
                     std::vector<double>& values, bool& margins_untouched) {
    const auto pitch = static_cast<std::size_t>(width + 2 * margin);
    for (std::size_t i = 0; i < wide.size(); ++i) {
      const auto column = static_cast<std::int64_t>(i % pitch);
      if (column >= margin && column < margin + width)
        values.push_back(wide[i]);
      else
        margins_untouched = margins_untouched && std::isnan(wide[i]);
    }
  }

  // An lse may be small though the products it comes from are not: their size sets the floor of the
  // tolerance.
  static void expect_close_lse(std::vector<double> lse, std::vector<double> truth,
                               const Naive& naive, const std::string& what) {
    std::vector<double> plain = naive.lse;
    for (std::vector<double>* values : {&lse, &truth, &plain}) values->push_back(naive.size);
    expect_close(lse, truth, plain, what);
  }

  static bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
  }

  std::vector<Mirrored> inputs_;  // alive until the test ends
  std::uint64_t seed_ = 0;
};

TEST_P(AttentionCuda, EverySize) {
  struct Size {
    std::int64_t batch, queries, keys, heads;
  };
  const Size sizes[] = {{1, 1, 1, 1},     {2, 1, 300, 3},   {1, 2, 63, 1},    {1, 63, 64, 3},
                        {1, 64, 2, 1},    {2, 127, 129, 1}, {1, 128, 128, 1}, {1, 129, 127, 3},
                        {1, 255, 65, 1},  {1, 130, 1, 2},   {1, 300, 255, 1}, {1, 77, 256, 1},
                        {1, 257, 257, 1}, {1, 64, 512, 1}};
  for (const std::int64_t depth : {64, 128})
    for (const Size& size : sizes)
      check(random_call(size.batch, size.queries, size.keys, size.heads, depth, 2.0),
            concat(size.batch, " x ", size.queries, " x ", size.keys, " heads ", size.heads,
                   " depth ", depth));
}

TEST_P(AttentionCuda, HeadDimensionsOfTheProducts) {
  check(random_call(2, 129, 255, 1, 384), "batch of one head of 384");
  check(random_call(1, 64, 130, 3, 96), "heads of 96");
  check(random_call(2, 31, 7, 2, 20), "heads of 20");
  check(random_call(1, 5, 9, 1, 17), "a head of 17");
  check(random_call(2, 1, 1, 1, 1), "a head of 1");
}

// More jobs than a persistent block of threads takes in three turns of its ring, and more tiles.
TEST_P(AttentionCuda, ManyBlocksOfQueriesAndOfKeys) {
  check(random_call(2, 129, 40, 120, 64), "480 jobs of depth 64");
  check(random_call(2, 129, 20, 120, 128), "480 jobs of depth 128");
  check(random_call(1, 130, 2100, 1, 128, 3.0), "2100 keys of depth 128");
  check(random_call(1, 130, 2100, 1, 64, 3.0), "2100 keys of depth 64");
}

// Long enough for the last jobs to be done in parts: all of them, or those that whole rounds leave.
TEST_P(AttentionCuda, JobsInParts) {
  for (const std::int64_t depth : {64, 128}) {
    check(random_call(1, 300, 3300, 2, depth, 3.0), concat("6 jobs of depth ", depth));
    check(random_call(1, 3, 3080, 140, depth, 3.0), concat("140 jobs of depth ", depth));
    Tensor weights = random_floats({1, 3200}, 2.0);
    std::fill_n(weights.view().data<float>() + 1500, 1700,
                -kInfinity);  // whole parts count nothing
    Call call = random_call(1, 130, 3200, 2, depth, 2.0);
    give_weights(call, std::move(weights));
    check(call, concat("weights, depth ", depth));
  }
}

TEST_P(AttentionCuda, SlicesOfOneProjection) {
  const std::int64_t tokens = 150, heads = 2;
  for (const std::int64_t depth : {64, 128}) {
    for (const std::int64_t more : {0, 1}) {  // with one more column nothing is aligned
      const Mirrored qkv = random({2, tokens, 3 * heads * depth + more}, 100, dtype());
      const auto part = [&](const Tensor& whole, std::int64_t index) {
        return whole.view()
            .slice(2, index * heads * depth + more, (index + 1) * heads * depth + more)
            .split_last(heads, depth);
      };
      const auto args = [&](const Tensor& whole) {
        return AttentionArgs{.q = part(whole, 0),
                             .k = part(whole, 1),
                             .v = part(whole, 2),
                             .scale = scale_of(depth),
                             .out = {}};
      };
      check({args(qkv.host), args(qkv.device)}, concat("depth ", depth, " more ", more),
            more == 0 ? 8 : 3);
    }
  }
}

TEST_P(AttentionCuda, KeyLogWeights) {
  for (const std::int64_t depth : {64, 128, 96}) {
    for (const std::int64_t keys : {2, 33, 128, 140, 400}) {
      Tensor weights = random_floats({2, keys}, 2.0);
      float* const values = weights.view().data<float>();
      for (std::int64_t i = 0; i + 1 < keys; i += 3) values[i] = -kInfinity;
      for (std::int64_t i = 0; i < std::min<std::int64_t>(keys - 1, 130); ++i)
        values[keys + i] = -kInfinity;  // of batch 1 a tile and more, where there are that many
      values[keys - 1] = std::log(static_cast<float>(512 - 100));
      Call call = random_call(2, 150, keys, 2, depth, 2.0);
      give_weights(call, std::move(weights));
      check(call, concat("weights, depth ", depth, " keys ", keys));
    }
  }
}

TEST_P(AttentionCuda, NoKeyLeftGivesZeros) {
  for (const std::int64_t depth : {64, 128, 32}) {
    Tensor weights = random_floats({2, 200}, 1.0);
    std::fill_n(weights.view().data<float>(), 200, -kInfinity);
    Call call = random_call(2, 70, 200, 1, depth);
    give_weights(call, std::move(weights));
    check(call, concat("no key, depth ", depth));
  }
}

TEST_P(AttentionCuda, BiasOfEachHead) {
  for (const std::int64_t keys : {6, 150}) {
    Tensor bias = random_floats({3, 45, keys}, 4.0);
    for (std::int64_t i = 0; i < 3 * 45; ++i) bias.view().data<float>()[i * keys] = -kInfinity;
    std::fill_n(bias.view().data<float>(), keys, -kInfinity);  // the first query has no key left
    Call call = random_call(2, 45, keys, 3, 64);
    give_bias(call, std::move(bias));
    check(call, concat("bias, keys ", keys));
    give_weights(call, random_floats({2, keys}, 1.0));
    check(call, concat("bias and weights, keys ", keys));
  }
  Tensor bias = random_floats({1, 45, 70}, 4.0);
  Call call = random_call(3, 45, 70, 1, 64);
  give_bias(call, std::move(bias));
  give_weights(call, random_floats({3, 70}, 1.0));
  check(call, "bias of one head, batch of 3");
}

// Scores of +-1000 and more: the maximum must be taken off before the exponential. The lse is a sum
// of a few products here, and the matrix units' own rounding of those shows.
TEST_P(AttentionCuda, LargeScores) {
  for (const std::int64_t depth : {64, 128}) {
    Call call = random_call(1, 70, 300, 1, depth, 30.0);
    call.host.scale = call.device.scale = 1.0;
    check(call, concat("large scores, depth ", depth), 8, false);
  }
}

TEST_P(AttentionCuda, AnyScale) {
  for (const double scale : {-0.3, 0.0, 0.01}) {
    Call call = random_call(1, 40, 130, 1, 64);
    call.host.scale = call.device.scale = scale;
    check(call, concat("scale ", scale));
  }
}

TEST_P(AttentionCuda, ResultOfAnotherType) {
  check(random_call(1, 70, 90, 2, 128), "F32 out", 8, true, DType::kF32);
  check(random_call(1, 70, 90, 2, 128), "BF16 out", 8, true, DType::kBF16);
}

TEST_P(AttentionCuda, InputsOfAnotherType) {
  const Mirrored q = random({1, 40, 2, 64}, 1, dtype()), k = random({1, 50, 2, 64}, 2, DType::kF32);
  const Mirrored v = random({1, 50, 2, 64}, 3, DType::kF16);
  check(call_of(q, k, v, 0.125), "q, k and v of different types");
}

// What the diffusion transformer does where it computes in BF16: finer queries and keys.
TEST_P(AttentionCuda, HalfQueriesAndKeys) {
  for (const std::int64_t depth : {64, 128}) {
    const Mirrored q = random({2, 150, 2, depth}, 1, DType::kF16, 2.0);
    const Mirrored k = random({2, 270, 2, depth}, 2, DType::kF16, 2.0);
    const Mirrored v = random({2, 270, 2, depth}, 3, DType::kBF16);
    Call call = call_of(q, k, v, scale_of(depth));
    check(call, concat("F16 q and k, BF16 v, depth ", depth), 8, true, DType::kBF16);
    give_weights(call, random_floats({2, 270}, 1.0));
    check(call, concat("the same with weights, depth ", depth), 8, true, DType::kBF16);
  }
}

// What went wrong before is seen behind: nothing takes NaN for a key that is left out. Also by jobs
// in parts, for which the second length is enough.
TEST_P(AttentionCuda, NanAndInfinityAreNotLost) {
  constexpr std::int64_t kQueries = 150, kHeads = 2;
  for (const std::int64_t depth : {64, 128, 96})
    for (const std::int64_t keys : {300, 3200}) {
      Mirrored inputs[] = {random({1, kQueries, kHeads, depth}, 1, dtype()),
                           random({1, keys, kHeads, depth}, 2, dtype()),
                           random({1, keys, kHeads, depth}, 3, dtype())};
      const Call call = call_of(inputs[0], inputs[1], inputs[2], scale_of(depth));
      for (const int part : {0, 1, 2}) {
        const auto put = [&](std::int64_t token, float value) {
          store(inputs[part].host.view(), (token * kHeads + 1) * depth + 3, value);
          ops().copy(inputs[part].host, inputs[part].device);
        };
        const std::int64_t last = (part == 0 ? kQueries : keys) - 1;
        for (const std::int64_t token : {std::int64_t{7}, last})
          for (const float bad : {std::numeric_limits<float>::quiet_NaN(), kInfinity}) {
            put(token, bad);
            for (const bool portable : {false, true})
              expect_seen(run(call, portable, 8, true, dtype()), depth, part, token, bad,
                          concat("depth ", depth, " keys ", keys, " part ", part, " token ", token,
                                 " is ", bad, portable ? ", portable" : ""));
            put(token, 0.5f);
          }
      }
    }
}

PSAGEN_CUDA_PARITY(AttentionCuda);

}  // namespace
}  // namespace psagen::kernels
