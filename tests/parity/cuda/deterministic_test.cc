// The same bits whatever the number of multiprocessors, where that is asked for (spec psa.md
// section 11.16). Sequences are long enough for the last blocks of queries to be shared.
#include "kernels/psa/pyramid_sparse_attention.h"
#include "tests/parity/cuda/cuda_parity.h"

namespace psagen::kernels {
namespace {

class DeterministicCuda : public CudaParity {
 protected:
  // What `run` leaves in `out` with at most so many multiprocessors.
  template <typename Run>
  std::vector<std::byte> bits(bool deterministic, int multiprocessors, const Tensor& out,
                              const Run& run) {
    const auto context = make_context({.device = {DeviceKind::kCuda, 0},
                                       .compute_dtype = GetParam(),
                                       .deterministic = deterministic,
                                       .max_multiprocessors = multiprocessors});
    const auto device_ops = make_ops(*context);
    context_->runtime()->synchronize();  // the two contexts have a stream each
    run(*device_ops);
    context->runtime()->synchronize();
    return bytes(out);
  }

  template <typename Run>
  void expect_same(const Tensor& out, const Run& run, const std::string& what) {
    const std::vector<std::byte> wanted = bits(true, 48, out, run);
    for (const int multiprocessors : {7, 33, 40})
      EXPECT_EQ(bits(true, multiprocessors, out, run), wanted) << what << ", " << multiprocessors;
    // Not by chance: these numbers share the blocks in two, three and four parts.
    if (context_->runtime()->info().compute_capability != 90 || GetParam() == DType::kF32) return;
    EXPECT_NE(bits(false, 48, out, run), bits(false, 33, out, run)) << what;
  }

  DType scored() const { return context_->score_dtype(); }
  Tensor output(const Shape& shape) { return {context_->allocator(), dtype(), shape}; }
};

TEST_P(DeterministicCuda, DenseAttention) {
  for (const std::int64_t depth : {64, 128}) {  // 15 blocks of queries of 27 tiles
    const Mirrored q = random({1, 640, 3, depth}, 1, scored(), 2.0);
    const Mirrored k = random({1, 3400, 3, depth}, 2, scored(), 2.0);
    const Mirrored v = random({1, 3400, 3, depth}, 3, dtype());
    const Tensor out = output(q.host.shape());
    expect_same(
        out,
        [&](Ops& device_ops) {
          device_ops.attention({.q = q.device,
                                .k = k.device,
                                .v = v.device,
                                .scale = 0.1,
                                .out = const_cast<Tensor&>(out).view()});
        },
        concat("depth ", depth));
  }
}

TEST_P(DeterministicCuda, PyramidSparseAttention) {
  const Shape heads = {1, 24700, 1, 64};  // 193 blocks of queries
  const Mirrored q = random(heads, 1, scored(), 2.0), k = random(heads, 2, scored(), 2.0);
  const Mirrored v = random(heads, 3, dtype());
  const Tensor out = output(heads);
  for (const int key_block : {128, 64, 32})
    expect_same(
        out,
        [&](Ops& device_ops) {
          PsaParams params;
          params.key_block = key_block;
          PyramidSparseAttention psa(device_ops, heads[0], heads[1], heads[2], heads[3], params, 1);
          psa.forward(device_ops, q.device, k.device, v.device, 0.125, {},
                      const_cast<Tensor&>(out).view());
          device_ops.context().runtime()->synchronize();  // before its buffers go
        },
        concat("key blocks of ", key_block));
}

PSAGEN_CUDA_PARITY(DeterministicCuda);

}  // namespace
}  // namespace psagen::kernels
