// Levels kept from an earlier call: nothing is pooled for a selection that is not made, and other
// keys and values are attended to at those levels.
#include "kernels/psa/pyramid_buffers.h"
#include "kernels/psa/pyramid_sparse_attention.h"
#include "tests/parity/cuda/cuda_parity.h"

namespace psagen::kernels {
namespace {

class KeptLevelsCuda : public CudaParity {};

TEST_P(KeptLevelsCuda, AreAttendedToWithNewKeysAndValues) {
  const Shape heads = {1, 1300, 3, 64};
  const DType scored = context_->score_dtype(), summed = context_->compute_dtype();
  const Mirrored q = random(heads, 1, scored, 2.0), k = random(heads, 2, scored, 2.0),
                 v = random(heads, 3, summed), other_k = random(heads, 4, scored, 2.0),
                 other_v = random(heads, 5, summed);
  for (const auto estimator :
       {ImportanceEstimator::kPooledLogSumExp, ImportanceEstimator::kStaggered}) {
    PsaParams params;
    params.key_block = 32;
    params.estimator = estimator;
    PyramidSparseAttention psa(ops(), heads[0], heads[1], heads[2], heads[3], params, 1);
    Tensor first(context_->allocator(), summed, heads), found(context_->allocator(), summed, heads),
        wanted(context_->allocator(), summed, heads);
    psa.forward(ops(), q.device, k.device, v.device, 0.125, {}, first);
    psa.forward(ops(), q.device, other_k.device, other_v.device, 0.125, {.reuse = true}, found);
    const PyramidBuffers whole(ops(), heads, scored, summed, params.key_block, false);
    ops().build_pyramid({.k = other_k.device, .v = other_v.device, .pyramid = whole.pyramid()});
    ops().sparse_attention({.q = q.device,
                            .k = other_k.device,
                            .v = other_v.device,
                            .pyramid = whole.pyramid(),
                            .levels = psa.levels(),
                            .order = {},
                            .scale = 0.125,
                            .query_block = params.query_block,
                            .out = wanted,
                            .lse = {},
                            .executed_density = {}});
    EXPECT_EQ(bytes(found), bytes(wanted)) << static_cast<int>(estimator);
    EXPECT_NE(bytes(found), bytes(first)) << static_cast<int>(estimator);
  }
}

PSAGEN_CUDA_PARITY(KeptLevelsCuda);

}  // namespace
}  // namespace psagen::kernels
