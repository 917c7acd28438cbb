// softmax(scale q k' + key weights) v on Hopper: all keys, tile after tile (hopper_consumer.cuh).
#pragma once

#include "kernels/cuda/dense_attention/hopper_consumer.cuh"

namespace psagen::kernels::cuda {

template <typename Traits, bool kKeyWeights>
struct DenseTiles {
  using Params = HopperParams;
  struct Shared {};
  static constexpr int kKeys = Traits::kKeys;
  static constexpr int kJobReaders = 4 * Traits::kConsumers;  // a lane of each computing warp
  static constexpr int kLoaders = 1;
  static constexpr int kProducerRegisters = 56;
  static constexpr int kConsumerRegisters = 224;
  static constexpr bool kMayBeEmpty = false;
  static constexpr bool kSparesL2 = false;

  KeyWeights<kKeys> weights;

  // One thread loads.
  template <typename BlockShared>
  static __device__ void produce(const Params& params, BlockShared& shared) {
    if (threadIdx.x != 0) return;
    const FusedProblem& problem = params.problem;
    const int tiles = (problem.keys + kKeys - 1) / kKeys;
    RingPlace<2> turn;
    TilePlace<Traits::kSlots> place;
    for (int number = static_cast<int>(blockIdx.x);; ++turn.count) {
      AnnouncedJob announced;
      int next = 0;  // asked for now, used when this job's loads are queued
      if (number < params.queue.numbers) {
        next = static_cast<int>(gridDim.x) + atomicAdd(params.queue.next, 1);
        announced = announced_job(params.queue, number, params.queue.job(number), tiles);
      }
      wait_barrier(&shared.job_ring.empty[turn.slot()], turn.parity() ^ 1);
      shared.jobs[turn.slot()] = announced;
      arrive(&shared.job_ring.full[turn.slot()]);
      if (announced.row < 0) break;

      const FusedJob job(problem, announced.row);
      load_queries(shared, turn, params.q, job);
      for (int tile = announced.first; tile < announced.end; ++tile, place = place.next()) {
        load_tile<Traits>(shared.tiles, shared.tile_ring, place.keys, params.k, tile * kKeys, job);
        if (tile == announced.first) continue;
        load_tile<Traits>(shared.tiles, shared.tile_ring, place.values_before(), params.v,
                          (tile - 1) * kKeys, job);
      }
      load_tile<Traits>(shared.tiles, shared.tile_ring, place.values_before(), params.v,
                        (announced.end - 1) * kKeys, job);
      number = next;
    }
  }

  static __device__ void before_first(const Params&) {}

  __device__ void await(const Params& params, const FusedJob& job, int tile) {
    const FusedProblem& problem = params.problem;
    if constexpr (kKeyWeights)
      weights.load(problem.log_weight + job.batch * problem.log_weight_stride, tile * kKeys,
                   problem.keys);
  }
  __device__ void arrived(const Shared&, std::uint32_t) {}

  // Keys past the last one are left out.
  template <int kScores>
  __device__ void exponentiate(const Params& params, const Shared&, int tile, std::uint32_t,
                               float (&scores)[kScores], OnlineSoftmax& softmax,
                               float (&rescale)[2]) const {
    const FusedProblem& problem = params.problem;
    if constexpr (kKeyWeights) {
      weights.add_to(problem.scale_log2, scores);
      softmax.template update<true>(scores, 1.0f, rescale);
    } else {
      const int left = problem.keys - tile * kKeys;
      if (left < kKeys) mask_columns(scores, left);
      softmax.template update<false>(scores, problem.scale_log2, rescale);
    }
  }
};

}  // namespace psagen::kernels::cuda
