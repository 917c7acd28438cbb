// softmax(scale q k' + key weights) v on Hopper, after FlashAttention 3 (arXiv 2407.08608).
//
// A block of threads lives as long as the kernel and takes blocks of 128 queries from a counter.
// One thread loads: q [128, D] into one of two buffers, k and v [128, D] tiles into rings, keys one
// tile ahead of values. Two warpgroups of 64 queries compute: the products of a tile are issued
// together (scores of tile t + 1, then values of tile t), and the softmax of t + 1 runs beside the
// second. By two named barriers the warpgroups issue in turn, so that one's softmax runs beside the
// other's products. Probabilities stay in registers.
//
// A prototype in which the softmax began only after both products gave, on an H200 in bf16 with
// D = 128, 588 to 620 TFLOP/s at 32,760 tokens and 12 heads, where cuDNN 9.19 gave 558 to 587.
#pragma once

#include "kernels/cuda/dense_attention/fused_job.cuh"
#include "kernels/cuda/dense_attention/hopper_traits.h"
#include "kernels/cuda/device/hopper.cuh"
#include "kernels/cuda/device/online_softmax.cuh"

namespace psagen::kernels::cuda {

template <typename Traits>
__device__ inline void init_barriers(HopperShared<Traits>& shared) {
  constexpr int kWarps = 4 * Traits::kConsumers;
  for (int i = 0; i < 2; ++i) {
    init_barrier(&shared.job_ring.full[i], 1);
    init_barrier(&shared.job_ring.empty[i], kWarps);
    init_barrier(&shared.query_ring.full[i], 1);
    init_barrier(&shared.query_ring.empty[i], Traits::kConsumers);
  }
  for (int i = 0; i < Traits::kStages; ++i) {
    init_barrier(&shared.key_ring.full[i], 1);
    init_barrier(&shared.key_ring.empty[i], Traits::kConsumers);
    init_barrier(&shared.value_ring.full[i], 1);
    init_barrier(&shared.value_ring.empty[i], Traits::kConsumers);
  }
  fence_barrier_init();
}

// Once the slot is empty, queues the copy of 128 rows from `row` on.
template <typename Traits, int kSlots>
__device__ inline void load_tile(typename HopperShared<Traits>::Tile (&tiles)[kSlots],
                                 typename HopperShared<Traits>::template Ring<kSlots>& ring,
                                 RingPlace<kSlots> place, const CUtensorMap& map, int row,
                                 const FusedJob& job) {
  const std::uint32_t slot = place.slot();
  wait_barrier(&ring.empty[slot], place.parity() ^ 1);
  arrive_expecting(&ring.full[slot], Traits::kTileBytes);
#pragma unroll
  for (int box = 0; box < Traits::kBoxes; ++box)
    load_box(tiles[slot].bytes + box * Traits::kBoxBytes, map, &ring.full[slot], box * kBoxColumns,
             row, job.head, job.batch);
}

// The one thread that loads.
template <typename Traits>
__device__ inline void produce(const HopperParams& params, HopperShared<Traits>& shared) {
  constexpr int kKeys = Traits::kKeys;
  const FusedProblem& problem = params.problem;
  const int tiles = (problem.keys + kKeys - 1) / kKeys;
  RingPlace<2> turn;
  RingPlace<Traits::kStages> key_tile, value_tile;
  for (int number = static_cast<int>(blockIdx.x);; ++turn.count) {
    const bool more = number < problem.jobs;
    int next = 0;  // asked for now, used when this job's loads are queued
    if (more) next = static_cast<int>(gridDim.x) + atomicAdd(params.next_job, 1);
    wait_barrier(&shared.job_ring.empty[turn.slot()], turn.parity() ^ 1);
    shared.jobs[turn.slot()] = more ? number : -1;
    arrive(&shared.job_ring.full[turn.slot()]);
    if (!more) break;

    const FusedJob job(problem, number);
    load_tile<Traits, 2>(shared.queries, shared.query_ring, turn, params.q, job.query, job);
    for (int tile = 0; tile < tiles; ++tile, ++key_tile.count) {
      load_tile<Traits, Traits::kStages>(shared.keys, shared.key_ring, key_tile, params.k,
                                         tile * kKeys, job);
      if (tile == 0) continue;
      load_tile<Traits, Traits::kStages>(shared.values, shared.value_ring, value_tile, params.v,
                                         (tile - 1) * kKeys, job);
      ++value_tile.count;
    }
    load_tile<Traits, Traits::kStages>(shared.values, shared.value_ring, value_tile, params.v,
                                       (tiles - 1) * kKeys, job);
    ++value_tile.count;
    number = next;
  }
}

// A warpgroup's 64 queries: what is kept in registers, and the steps of a tile.
template <typename Traits>
struct HopperConsumer {
  static constexpr int kKeys = Traits::kKeys;
  static constexpr int kTurnThreads = 128 * Traits::kConsumers;
  using Element = typename Traits::Element;
  using Place = RingPlace<Traits::kStages>;

  const HopperParams& params;
  HopperShared<Traits>& shared;
  int group, warp, lane;  // of the computing warpgroups; of the group's warps
  float scores[Traits::kScores];
  float sums[Traits::kSums];
  std::uint32_t probabilities[Traits::kScores / 2];
  float rescale[2];
  OnlineSoftmax softmax;
  KeyWeights<kKeys> weights;

  __device__ HopperConsumer(const HopperParams& params, HopperShared<Traits>& shared)
      : params(params), shared(shared) {
    group = __shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x) / 128 - 1, 0);
    warp = static_cast<int>(threadIdx.x) / 32 % 4;
    lane = static_cast<int>(threadIdx.x) % 32;
  }

  // By one thread for the warpgroup, whose products are over for all when they are for one.
  __device__ void release(std::uint64_t* empty) const {
    if (threadIdx.x % 128 == 0) arrive(empty);
  }

  // The warpgroups' turns to issue products: barrier 1 for the first, 2 for the second.
  __device__ void take_turn() const { sync_threads(1 + group, kTurnThreads); }
  __device__ void pass_turn() const { arrive_threads(2 - group, kTurnThreads); }

  __device__ void wait_keys(Place place) {
    wait_barrier(&shared.key_ring.full[place.slot()], place.parity());
  }

  // What a tile's scores need, ahead of them.
  __device__ void prepare(const FusedJob& job, int tile, Place place) {
    load_weights(job, tile);
    wait_keys(place);
  }

  // scores = q k'
  __device__ void issue_scores(std::uint32_t query_slot, std::uint32_t key_slot) {
    constexpr int kStepsOfBox = kBoxColumns / 16;
    const std::uint64_t q =
        rows_descriptor(shared.queries[query_slot].bytes + group * 64 * kBoxColumns * 2);
    const std::uint64_t k = rows_descriptor(shared.keys[key_slot].bytes);
    pin(scores);
    begin_products();
#pragma unroll
    for (int step = 0; step < Traits::kHeadDim / 16; ++step) {
      const std::uint64_t offset =
          step % kStepsOfBox * 2 + step / kStepsOfBox * (Traits::kBoxBytes / 16);
      multiply_shared<typename Traits::ScoreElement>(scores, q + offset, k + offset, step > 0);
    }
    commit_products();
  }

  // sums += probabilities v
  __device__ void issue_values(std::uint32_t value_slot) {
    const std::uint64_t v = columns_descriptor<Traits::kBoxBytes>(shared.values[value_slot].bytes);
    pin(sums);
    pin(probabilities);
    begin_products();
#pragma unroll
    for (int step = 0; step < kKeys / 16; ++step)
      multiply_registers<Element>(sums, probabilities + 4 * step, v + step * 128);
    commit_products();
  }

  template <int kGroups>
  __device__ void wait_scores(std::uint32_t key_slot) {
    wait_products<kGroups>();
    pin(scores);
    release(&shared.key_ring.empty[key_slot]);
  }

  __device__ void wait_values(std::uint32_t value_slot) {
    wait_products<0>();
    pin(sums);
    pin(probabilities);
    release(&shared.value_ring.empty[value_slot]);
  }

  __device__ void load_weights(const FusedJob& job, int tile) {
    const FusedProblem& problem = params.problem;
    if constexpr (Traits::kKeyWeights)
      weights.load(problem.log_weight + job.batch * problem.log_weight_stride, tile * kKeys,
                   problem.keys);
  }

  // scores -> powers of two, at most 1; keys past the last one left out.
  __device__ void exponentiate(int tile) {
    const FusedProblem& problem = params.problem;
    if constexpr (Traits::kKeyWeights) {
      weights.add_to(problem.scale_log2, scores);
      softmax.template update<true>(scores, 1.0f, rescale);
    } else {
      const int left = problem.keys - tile * kKeys;
      if (left < kKeys) mask_columns(scores, left);
      softmax.template update<false>(scores, problem.scale_log2, rescale);
    }
  }

  __device__ void pack_probabilities() {
#pragma unroll
    for (int i = 0; i < Traits::kScores / 2; ++i)
      probabilities[i] = pack_pair<Element>(scores[2 * i], scores[2 * i + 1]);
  }

  __device__ void rescale_sums() {
#pragma unroll
    for (int i = 0; i < Traits::kSums; ++i) sums[i] *= rescale[i % 4 / 2];
  }

  __device__ void attend(const FusedJob& job, std::uint32_t query_slot, Place& place, int tiles) {
    softmax.reset();
#pragma unroll
    for (int i = 0; i < Traits::kSums; ++i) sums[i] = 0.0f;

    load_weights(job, 0);
    wait_keys(place);
    issue_scores(query_slot, place.slot());
    wait_scores<0>(place.slot());
    exponentiate(0);
    pack_probabilities();
    if (tiles > 1) prepare(job, 1, place.next());
#pragma unroll 1
    for (int tile = 1; tile < tiles; ++tile) {
      const Place previous = place;
      ++place.count;
      take_turn();
      issue_scores(query_slot, place.slot());
      wait_barrier(&shared.value_ring.full[previous.slot()], previous.parity());
      issue_values(previous.slot());
      pass_turn();
      wait_scores<1>(place.slot());
      exponentiate(tile);
      // Here and not above: ptxas moves the wait below up to the products unless a branch is
      // between.
      if (tile + 1 < tiles) prepare(job, tile + 1, place.next());
      wait_values(previous.slot());
      pack_probabilities();
      rescale_sums();
    }
    wait_barrier(&shared.value_ring.full[place.slot()], place.parity());
    issue_values(place.slot());
    wait_values(place.slot());
    ++place.count;
  }

  // Each warp hands its 16 rows to the copy engine, which clips them at the last query.
  __device__ void store(const FusedJob& job) {
    softmax.finish();
    const float inverse[2] = {softmax.inverse(0), softmax.inverse(1)};
    std::byte* const stripe = shared.out[4 * group + warp].bytes;
    if (lane == 0) wait_stores_read();
    __syncwarp();
    const int matrix = lane / 8, row = lane % 8 + matrix % 2 * 8;
#pragma unroll
    for (int step = 0; step < Traits::kHeadDim / 16; ++step) {
      const int chunk = (step % 4 * 2 + matrix / 2) ^ (row % 8);
      std::uint32_t packed[4];
#pragma unroll
      for (int i = 0; i < 4; ++i)
        packed[i] = pack_pair<Element>(sums[8 * step + 2 * i] * inverse[i % 2],
                                       sums[8 * step + 2 * i + 1] * inverse[i % 2]);
      store_matrices(
          shared_address(stripe) + step / 4 * Traits::kStripeBoxBytes + row * 128 + chunk * 16,
          packed[0], packed[1], packed[2], packed[3]);
    }
    fence_shared_writes();
    __syncwarp();
    const int first = job.query + group * 64 + warp * 16;
    if (lane == 0) {
#pragma unroll
      for (int box = 0; box < Traits::kBoxes; ++box)
        store_box(params.out, stripe + box * Traits::kStripeBoxBytes, box * kBoxColumns, first,
                  job.head, job.batch);
      commit_stores();
    }
    __syncwarp();
    store_log_sum_exp(job, first + lane / 4);
  }

  __device__ void store_log_sum_exp(const FusedJob& job, int query) const {
    const FusedProblem& problem = params.problem;
    if (problem.lse == nullptr || lane % 4 != 0) return;
    float* const lse =
        problem.lse + job.batch * problem.lse_batch_stride + job.head * problem.lse_head_stride;
#pragma unroll
    for (int row = 0; row < 2; ++row)
      if (query + 8 * row < problem.queries)
        lse[(query + 8 * row) * problem.lse_query_stride] = softmax.log_sum_exp(row);
  }

  __device__ void run() {
    const int tiles = (params.problem.keys + kKeys - 1) / kKeys;
    RingPlace<2> turn;
    Place place;
    if (group == 1) pass_turn();  // the first warpgroup begins
    for (;; ++turn.count) {
      const std::uint32_t slot = turn.slot();
      wait_barrier(&shared.job_ring.full[slot], turn.parity());
      const int number = shared.jobs[slot];
      __syncwarp();
      if (lane == 0) arrive(&shared.job_ring.empty[slot]);
      if (number < 0) break;
      const FusedJob job(params.problem, number);
      wait_barrier(&shared.query_ring.full[slot], turn.parity());
      attend(job, slot, place, tiles);
      release(&shared.query_ring.empty[slot]);
      store(job);
    }
    if (group == 0) take_turn();  // the turn nobody took: barriers end as they began
    if (lane == 0) wait_stores();
  }
};

template <typename Traits>
__global__ void __launch_bounds__(Traits::kThreads, 1)
    hopper_attention_kernel(const __grid_constant__ HopperParams params) {
  extern __shared__ __align__(1024) std::byte hopper_shared_memory[];
  auto& shared = *reinterpret_cast<HopperShared<Traits>*>(hopper_shared_memory);
  if (threadIdx.x == 0) init_barriers(shared);
  __syncthreads();
  if (threadIdx.x < 128) {
    release_registers<Traits::kProducerRegisters>();
    if (threadIdx.x == 0) produce(params, shared);
  } else {
    claim_registers<Traits::kConsumerRegisters>();
    HopperConsumer<Traits> consumer(params, shared);
    consumer.run();
  }
}

}  // namespace psagen::kernels::cuda
