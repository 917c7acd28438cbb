// Rows of the pyramid that are still to be made when attention begins: bit for bit the same rows
// and the same answer as of a pyramid that was whole before.
#include <optional>
#include <utility>

#include "tests/parity/cuda/sparse_call.h"

namespace psagen::kernels {
namespace {

class PendingRowsCuda : public CudaParity {
 protected:
  struct Result {
    std::vector<std::byte> keys, values, out, lse;
  };

  // `summed`: the type of values and results.
  Result run(const SparseCall& call, Ops& device_ops, DType summed, PyramidPart built,
             PyramidPart pending) {
    const SparseSize& size = call.size;
    const Shape heads = {size.batch, size.tokens, size.heads, size.depth};
    Tensor qkv(context_->allocator(), call.dtype, call.qkv().shape());
    ops().copy(call.qkv(), qkv);
    const auto part = [&](int index) {
      return call.part_of(ConstTensorView(std::as_const(qkv).view()), index);
    };
    Tensor converted;
    if (summed != call.dtype) {
      converted = Tensor(context_->allocator(), summed, heads);
      ops().copy(part(2), converted);
    }
    const PyramidShape shape = size.pyramid();
    const Shape rows = {size.batch, size.heads, shape.total_rows(), size.depth};
    Mirrored keys = poisoned(rows, call.dtype), values = poisoned(rows, summed);
    Mirrored log2_weight = poisoned({shape.total_rows()}, DType::kF32);
    Tensor host(host_memory_, DType::kU8,
                {size.batch, size.heads, size.query_blocks(), size.key_blocks()});
    std::memcpy(host.view().bytes(), call.levels.data(), call.levels.size());
    const Mirrored levels = on_both(std::move(host));
    std::optional<Mirrored> order;
    if (!call.order.empty()) {
      Tensor rows_in_order(host_memory_, DType::kI32, {std::ssize(call.order)});
      std::memcpy(rows_in_order.view().bytes(), call.order.data(),
                  call.order.size() * sizeof(call.order[0]));
      order = on_both(std::move(rows_in_order));
    }
    Mirrored out = poisoned(heads, summed);
    Mirrored lse = poisoned({size.batch, size.heads, size.tokens}, DType::kF32);

    Pyramid pyramid;
    pyramid.shape = shape;
    pyramid.keys = keys.device;
    pyramid.values = values.device;
    pyramid.log2_weight = log2_weight.device;
    const ConstTensorView v = converted ? ConstTensorView(converted.view()) : part(2);
    context_->runtime()->synchronize();  // the two contexts have a stream each
    device_ops.build_pyramid(
        {.k = part(1), .v = v, .similarity_thresholds = {}, .part = built, .pyramid = pyramid});
    device_ops.sparse_attention(
        {.q = part(0),
         .k = part(1),
         .v = v,
         .pyramid = pyramid,
         .pending = pending,
         .levels = levels.device,
         .order = order ? ConstTensorView(order->device) : ConstTensorView{},
         .scale = call.scale,
         .query_block = size.query_block,
         .out = out.device,
         .lse = lse.device,
         .executed_density = {}});
    device_ops.context().runtime()->synchronize();
    return {bytes(keys.device), bytes(values.device), bytes(out.device), bytes(lse.device)};
  }

  static void expect_same(const Result& found, const Result& wanted, const std::string& what) {
    EXPECT_TRUE(found.keys == wanted.keys) << what << ": keys";
    EXPECT_TRUE(found.values == wanted.values) << what << ": values";
    EXPECT_TRUE(found.out == wanted.out) << what << ": out";
    EXPECT_TRUE(found.lse == wanted.lse) << what << ": lse";
  }

  // Who is done when differs from run to run; what comes out must not.
  void check(const SparseCall& call, DType summed, int rounds = 1) {
    EXPECT_TRUE(ops().pools_in_attention());
    for (const bool portable : {false, true}) {
      Ops& device_ops = portable ? portable_ops() : ops();
      const std::string what =
          concat(call.size, ", values in ", dtype_name(summed), portable ? ", portable" : "");
      const Result wanted = run(call, device_ops, summed, PyramidPart::kAll, PyramidPart::kNone);
      for (int round = 0; round < rounds; ++round) {
        expect_same(run(call, device_ops, summed, PyramidPart::kCoarsestKeys, PyramidPart::kAll),
                    wanted, what + ", all pending");
        expect_same(run(call, device_ops, summed, PyramidPart::kKeys, PyramidPart::kValues), wanted,
                    what + ", values pending");
      }
    }
  }
};

TEST_P(PendingRowsCuda, AreThoseOfAWholePyramid) {
  std::uint64_t seed = 0;
  for (const std::int64_t depth : {64, 128})
    for (const int key_block : {32, 64, 128})
      for (const std::int64_t tokens : {1, 7, 129, 1000, 4133}) {
        SparseCall call(
            {.batch = 2, .tokens = tokens, .heads = 3, .depth = depth, .key_block = key_block},
            dtype(), ++seed);
        call.set_random_levels();
        check(call, dtype());
        if (dtype() == DType::kF16) check(call, DType::kBF16);
      }
}

TEST_P(PendingRowsCuda, OfEveryLevelAndOfNone) {
  for (const int level : {0, 1, 2, 4, 8}) {
    SparseCall call({.tokens = 3000, .heads = 2, .depth = 128}, dtype(), 50);
    call.set_levels([&](auto...) { return level; });
    check(call, dtype(), 3);
  }
}

// A few query blocks, one job for a multiprocessor and no more tiles than places: what racecheck
// can follow.
TEST_P(PendingRowsCuda, OfAShortSequence) {
  for (const std::int64_t depth : {64, 128}) {
    SparseCall call({.tokens = 300, .heads = 2, .depth = depth}, dtype(), 90);
    call.set_random_levels();
    check(call, dtype());
  }
}

// Head after head, as select_blocks orders rows; inside a head the last come first.
TEST_P(PendingRowsCuda, InAnOrder) {
  SparseCall call({.batch = 2, .tokens = 20 * 128 + 5, .heads = 5, .depth = 128}, dtype(), 95);
  call.set_random_levels();
  const std::int64_t query_blocks = call.size.query_blocks();
  for (std::int64_t row = 0; row < call.size.rows(); ++row)
    call.order.push_back(static_cast<std::int32_t>(row / query_blocks * query_blocks +
                                                   query_blocks - 1 - row % query_blocks));
  check(call, dtype(), 3);
}

// Heads by the hundred, each done before the next rows are waited for.
TEST_P(PendingRowsCuda, OfManyHeads) {
  SparseCall call({.batch = 2, .tokens = 300, .heads = 150, .depth = 64, .key_block = 32}, dtype(),
                  60);
  call.set_random_levels();
  check(call, dtype(), 3);
}

// Rows of scores in parts, and chunks enough for every warp.
TEST_P(PendingRowsCuda, OfALongSequence) {
  if (dtype() == DType::kF32) GTEST_SKIP() << "a warp a query takes long";
  SparseCall call({.tokens = 24 * 1024 + 24, .heads = 3, .depth = 128}, dtype(), 70);
  call.set_random_levels();
  check(call, dtype(), 3);
}

TEST_P(PendingRowsCuda, OfOtherHeadsAndQueryBlocks) {
  for (const std::int64_t depth : {40, 96})
    for (const int query_block : {128, 64}) {
      SparseCall call({.batch = 2,
                       .tokens = 150,
                       .heads = 2,
                       .depth = depth,
                       .key_block = 64,
                       .query_block = query_block},
                      dtype(), 80);
      call.set_random_levels();
      check(call, dtype());
    }
}

PSAGEN_CUDA_PARITY(PendingRowsCuda);

}  // namespace
}  // namespace psagen::kernels
