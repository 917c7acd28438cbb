// Runs calls of sparse attention on the GPU, by the kernels made for it and by the portable ones.
#pragma once

#include <cstring>
#include <utility>

#include "tests/parity/cuda/sparse_call.h"

namespace psagen::kernels {

class SparseAttentionCuda : public CudaParity {
 protected:
  static constexpr std::int64_t kMargin = 8;  // columns around the rows of out

  struct Result {
    std::vector<double> out, lse, density;
    bool margins_untouched = true;
  };

  // Who makes the rows of the pyramid: the call, so that attention is tested alone, or the device.
  enum class Pooling { kHost, kDevice };

  // A call on the device, and where its results go.
  struct Prepared {
    Tensor qkv, keys, values, log2_weight, levels, order;
    Tensor out, lse, density;
    Pooling pooling = Pooling::kHost;
    SparseAttentionArgs args;
  };

  Prepared prepare(const SparseCall& call, Pooling pooling = Pooling::kHost) {
    const SparseSize& size = call.size;
    Prepared p;
    p.pooling = pooling;
    p.qkv = device(call.qkv());
    if (pooling == Pooling::kHost) {
      p.keys = device(call.pooled(1));
      p.values = device(call.pooled(2));
      p.log2_weight = device(call.log2_weight());
    } else {
      const std::int64_t rows = size.pyramid().total_rows();
      p.keys = unwritten({size.batch, size.heads, rows, size.depth}, call.dtype);
      p.values = unwritten({size.batch, size.heads, rows, size.depth}, call.dtype);
      p.log2_weight = unwritten({rows}, DType::kF32);
    }
    p.levels = device_bytes(call.levels.data(), DType::kU8,
                            {size.batch, size.heads, size.query_blocks(), size.key_blocks()});
    if (!call.order.empty()) p.order = device_bytes(call.order.data(), DType::kI32, {size.rows()});
    p.out = unwritten({size.batch, size.tokens, size.heads, size.depth + 2 * kMargin}, call.dtype);
    p.lse = unwritten({size.batch, size.heads, size.tokens}, DType::kF32);
    p.density = unwritten({size.batch, size.heads}, DType::kF32);

    SparseAttentionArgs& args = p.args;
    args.q = call.part_of(ConstTensorView(p.qkv.view()), 0);
    args.k = call.part_of(ConstTensorView(p.qkv.view()), 1);
    args.v = call.part_of(ConstTensorView(p.qkv.view()), 2);
    args.pyramid.shape = size.pyramid();
    args.pyramid.keys = p.keys;
    args.pyramid.values = p.values;
    args.pyramid.log2_weight = p.log2_weight;
    args.levels = p.levels;
    if (!call.order.empty()) args.order = p.order;
    args.scale = call.scale;
    args.query_block = size.query_block;
    args.out = p.out.view().slice(3, kMargin, kMargin + size.depth);
    args.lse = p.lse;
    args.executed_density = p.density;
    return p;
  }

  // Queues the work and does not wait.
  static void launch(Ops& device_ops, const Prepared& p) {
    if (p.pooling == Pooling::kDevice)
      device_ops.build_pyramid(
          {.k = p.args.k, .v = p.args.v, .similarity_thresholds = {}, .pyramid = p.args.pyramid});
    device_ops.sparse_attention(p.args);
  }

  // Of work that is done.
  Result collect(const SparseCall& call, const Prepared& p) {
    Result result;
    const std::vector<double> wide = this->values(p.out);
    const std::int64_t pitch = call.size.depth + 2 * kMargin;
    for (std::size_t i = 0; i < wide.size(); ++i) {
      const auto column = static_cast<std::int64_t>(i) % pitch;
      if (column >= kMargin && column < kMargin + call.size.depth)
        result.out.push_back(wide[i]);
      else
        result.margins_untouched = result.margins_untouched && std::isnan(wide[i]);
    }
    result.lse = this->values(p.lse);
    result.density = this->values(p.density);
    return result;
  }

  Result run(const SparseCall& call, Ops& device_ops, Pooling pooling) {
    const Prepared p = prepare(call, pooling);
    context_->runtime()->synchronize();  // every context has a stream of its own
    launch(device_ops, p);
    device_ops.context().runtime()->synchronize();
    return collect(call, p);
  }
  Result run(const SparseCall& call, bool portable, Pooling pooling = Pooling::kHost) {
    return run(call, portable ? portable_ops() : ops(), pooling);
  }

  // Both sets of kernels against the double-precision answer.
  void check(const SparseCall& call, const std::string& what, Pooling pooling = Pooling::kHost) {
    check_kernels(call, call.truth(), what, pooling);
  }

  // Against the answer that a law gives, worked out in another way.
  void check(const SparseCall& call, const SparseAnswer& law, const std::string& what,
             Pooling pooling = Pooling::kHost) {
    // Or the naive method would be as far from it as the kernels, and nothing would be too far.
    const SparseAnswer truth = call.truth();
    expect_law(truth.out, law.out, concat(what, ": ", call.size));
    expect_law(truth.lse, law.lse, concat(what, ": ", call.size, ", lse"));
    check_kernels(call, law, what, pooling);
  }

  static void expect_answer(const Result& result, const SparseAnswer& truth,
                            const SparseAnswer& naive, const std::string& what) {
    expect_close(result.out, truth.out, naive.out, what);
    EXPECT_TRUE(result.margins_untouched) << what;
    // An lse may be small though the products it comes from are not: their size sets the floor.
    std::vector<double> lse[] = {result.lse, truth.lse, naive.lse};
    for (std::vector<double>& values : lse) values.push_back(naive.score_size);
    expect_close(lse[0], lse[1], lse[2], what + ", lse");
  }

  static bool same_bits(const Result& a, const Result& b) {
    return same_bits(a.out, b.out) && same_bits(a.lse, b.lse);
  }
  static bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
  }

 private:
  void check_kernels(const SparseCall& call, const SparseAnswer& truth, const std::string& what,
                     Pooling pooling) {
    const SparseAnswer naive = call.naive();
    for (const bool portable : {false, true}) {
      const std::string label = concat(what, ": ", call.size, portable ? ", portable" : "");
      const Result first = run(call, portable, pooling);
      expect_answer(first, truth, naive, label);
      const Result second = run(call, portable, pooling);
      EXPECT_TRUE(same_bits(first, second)) << label << ": two runs differ";
    }
  }

  // In double precision, in which a law holds up to the order of sums.
  static void expect_law(const std::vector<double>& truth, const std::vector<double>& law,
                         const std::string& what) {
    ASSERT_EQ(truth.size(), law.size()) << what;
    for (std::size_t i = 0; i < truth.size(); ++i)
      if (truth[i] != law[i]) {  // infinities are equal
        ASSERT_NEAR(truth[i], law[i], 1e-11 * std::max(1.0, std::abs(law[i]))) << what << ", " << i;
      }
  }

  Tensor device(const Tensor& host) {
    Tensor result(context_->allocator(), host.view().dtype(), host.shape());
    ops_->copy(host, result);
    return result;
  }
  Tensor device_bytes(const void* data, DType type, const Shape& shape) {
    Tensor host(host_memory_, type, shape);
    std::memcpy(host.view().bytes(), data, host.view().num_bytes());
    return device(host);
  }
  Tensor unwritten(const Shape& shape, DType type) {
    return std::move(poisoned(shape, type).device);
  }
};

}  // namespace psagen::kernels
