// Scores by wgmma, the means from registers as they are for mma.sync: a warpgroup's 64 rows are 16
// means of each warp. The second half's products run while the first half's scores are added up.
#include "kernels/cuda/device/hopper.cuh"
#include "kernels/cuda/psa/block_scores_kernel.cuh"

namespace psagen::kernels::cuda {
namespace {

template <typename T, int kDepth>
struct TileProduct<T, kDepth, true> {
  float sums[2][4 * kMatrices];

  __device__ void see_copies() const { fence_shared_writes(); }

  __device__ void start(const Means<T, kDepth>& means, std::uint32_t tile) {
    constexpr int kStepsOfBox = 4;
    const std::uint64_t keys = rows_descriptor_at(tile);
#pragma unroll
    for (int part = 0; part < 2; ++part) pin(sums[part]);
    begin_products();
#pragma unroll
    for (int part = 0; part < 2; ++part) {
#pragma unroll
      for (int step = 0; step < kDepth / 16; ++step)
        multiply_rows<T>(
            sums[part], means.values[part][step],
            keys + step / kStepsOfBox * block_scores::kBoxChunks + step % kStepsOfBox * 2,
            step > 0);
      commit_products();
    }
  }
  __device__ void wait(int part) {
    if (part == 0)
      wait_products<1>();
    else
      wait_products<0>();
    pin(sums[part]);
  }
};

}  // namespace

void hopper_block_scores(CudaRuntime& runtime, const ScoreParams& p, int heads) {
  launch<true>(runtime, p, heads);
}

}  // namespace psagen::kernels::cuda
