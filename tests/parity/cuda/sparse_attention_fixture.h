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

  Result run(const SparseCall& call, bool portable) {
    const SparseSize& size = call.size;
    Tensor qkv = device(call.qkv());
    const Tensor keys = device(call.pooled(1)), values = device(call.pooled(2));
    const Tensor log2_weight = device(call.log2_weight());
    const Tensor levels =
        device_bytes(call.levels.data(), DType::kU8,
                     {size.batch, size.heads, size.query_blocks(), size.key_blocks()});
    Tensor order;
    if (!call.order.empty()) order = device_bytes(call.order.data(), DType::kI32, {size.rows()});
    Mirrored out =
        poisoned({size.batch, size.tokens, size.heads, size.depth + 2 * kMargin}, call.dtype);
    Mirrored lse = poisoned({size.batch, size.heads, size.tokens}, DType::kF32);
    Mirrored density = poisoned({size.batch, size.heads}, DType::kF32);

    SparseAttentionArgs args;
    args.q = call.part_of(ConstTensorView(qkv.view()), 0);
    args.k = call.part_of(ConstTensorView(qkv.view()), 1);
    args.v = call.part_of(ConstTensorView(qkv.view()), 2);
    args.pyramid.shape = size.pyramid();
    args.pyramid.keys = as_output(keys);
    args.pyramid.values = as_output(values);
    args.pyramid.log2_weight = as_output(log2_weight);
    args.levels = levels.view();
    if (!call.order.empty()) args.order = std::as_const(order).view();
    args.scale = call.scale;
    args.query_block = size.query_block;
    args.out = out.device.view().slice(3, kMargin, kMargin + size.depth);
    args.lse = lse.device.view();
    args.executed_density = density.device.view();
    Ops& device_ops = portable ? portable_ops() : ops();
    context_->runtime()->synchronize();  // the two contexts have a stream each
    device_ops.sparse_attention(args);
    device_ops.context().runtime()->synchronize();

    Result result;
    const std::vector<double> wide = this->values(out.device);
    const std::int64_t pitch = size.depth + 2 * kMargin;
    for (std::size_t i = 0; i < wide.size(); ++i) {
      const auto column = static_cast<std::int64_t>(i) % pitch;
      if (column >= kMargin && column < kMargin + size.depth)
        result.out.push_back(wide[i]);
      else
        result.margins_untouched = result.margins_untouched && std::isnan(wide[i]);
    }
    result.lse = this->values(lse.device);
    result.density = this->values(density.device);
    return result;
  }

  // Both sets of kernels against `truth`; the naive method's error is against it as well.
  void check(const SparseCall& call, const SparseAnswer& truth, const std::string& what) {
    const SparseAnswer naive = call.naive();
    for (const bool portable : {false, true}) {
      const std::string label = concat(what, ": ", call.size, portable ? ", portable" : "");
      const Result first = run(call, portable);
      expect_answer(first, truth, naive, label);
      const Result second = run(call, portable);
      EXPECT_TRUE(same_bits(first.out, second.out) && same_bits(first.lse, second.lse))
          << label << ": two runs differ";
    }
  }
  void check(const SparseCall& call, const std::string& what) { check(call, call.truth(), what); }

  static void expect_answer(const Result& result, const SparseAnswer& truth,
                            const SparseAnswer& naive, const std::string& what) {
    expect_close(result.out, truth.out, naive.out, what);
    EXPECT_TRUE(result.margins_untouched) << what;
    // An lse may be small though the products it comes from are not: their size sets the floor.
    std::vector<double> lse[] = {result.lse, truth.lse, naive.lse};
    for (std::vector<double>& values : lse) values.push_back(naive.score_size);
    expect_close(lse[0], lse[1], lse[2], what + ", lse");
  }

  static bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
  }

 private:
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
  static TensorView as_output(const Tensor& tensor) { return const_cast<Tensor&>(tensor).view(); }
};

}  // namespace psagen::kernels
