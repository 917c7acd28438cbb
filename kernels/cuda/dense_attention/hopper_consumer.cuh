// The computing side of attention on Hopper, after FlashAttention 3 (arXiv 2407.08608), and the
// frame around it. Where keys and values come from is the business of `Tiles`: dense attention goes
// through all keys (hopper_kernel.cuh), sparse attention through what a list says
// (../psa/sparse_attention).
//
// A block of threads lives as long as the kernel and takes blocks of 128 queries, its jobs. The
// first warpgroup loads: q [128, D] into one of two buffers, k and v [128, D] tiles into a ring
// (tile_ring.cuh), keys one tile ahead of values. Two warpgroups of 64 queries compute: the
// products of a tile are issued together (scores of tile t + 1, then values of tile t), and the
// softmax of t + 1 runs beside the second. By two named barriers the warpgroups issue in turn, so
// that one's softmax runs beside the other's products. Probabilities stay in registers. The last
// values of a job go with the first scores of the next, so that the products do not rest between
// jobs; the last jobs of all are done in parts (job_queue.h).
//
// What Tiles has:
//   Params         of the launch, with `problem`, `queue` and `out`
//   Shared         what its two sides tell each other beside the tiles
//   kJobReaders    how many arrivals say that a job was read
//   kLoaders       how many threads say that they queued their part of a tile
//   kProducerRegisters, kConsumerRegisters  of a thread that loads, and that computes
//   kMayBeEmpty    whether a job may have no tile
//   kSparesL2      whether queries and results are to leave L2 to keys and values
//   produce()      by the first warpgroup, all of its warps: announces jobs and loads tiles
//   before_first() by the computing warps before they begin
// and on the computing side, as a member of the warpgroup's:
//   await(), arrived()  before and after the wait for a tile's keys
//   exponentiate() scores -> powers of two, at most 1
//
// A prototype in which the softmax began only after both products gave, on an H200 in bf16 with
// D = 128, 588 to 620 TFLOP/s at 32,760 tokens and 12 heads, where cuDNN 9.19 gave 558 to 587.
#pragma once

#include "kernels/cuda/dense_attention/hopper_loads.cuh"
#include "kernels/cuda/dense_attention/job_parts.cuh"
#include "kernels/cuda/device/online_softmax.cuh"

namespace psagen::kernels::cuda {

// A warpgroup's 64 queries: what is kept in registers, and the steps of a tile.
template <typename Traits, typename Tiles>
struct HopperConsumer {
  static constexpr int kKeys = Traits::kKeys;
  static constexpr int kTurnThreads = 128 * Traits::kConsumers;
  using Element = typename Traits::Element;
  using Place = TilePlace<Traits::kSlots>;
  static constexpr std::uint32_t kNoSlot = ~0u;

  struct Job {
    FusedJob block;
    int first, end;  // its tiles
    int piece;       // -1: the whole job
    std::uint32_t query_slot;

    __device__ bool is_empty() const { return Tiles::kMayBeEmpty && first == end; }
  };

  const typename Tiles::Params& params;
  HopperShared<Traits, Tiles>& shared;
  int group, warp, lane;           // of the computing warpgroups; of the group's warps
  RingPlace<2> turn;               // of the next job
  std::uint32_t stored = kNoSlot;  // of queries: where a result is on its way to memory
  float scores[Traits::kScores];
  float sums[Traits::kSums];
  std::uint32_t probabilities[Traits::kScores / 2];
  float rescale[2], inverse[2];
  OnlineSoftmax softmax;
  Tiles tiles;

  __device__ HopperConsumer(const typename Tiles::Params& params,
                            HopperShared<Traits, Tiles>& shared)
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

  // What a tile's scores need, ahead of them.
  __device__ void prepare(const FusedJob& job, int tile, Place place) {
    tiles.await(params, job, tile);
    wait_barrier(&shared.tile_ring.full[place.keys.slot()], place.keys.parity());
    tiles.arrived(shared.notes, place.count);
  }

  // scores = q k'
  __device__ void issue_scores(std::uint32_t query_slot, RingSlot keys) {
    constexpr int kStepsOfBox = kBoxColumns / 16;
    const std::uint64_t q =
        rows_descriptor(shared.queries[query_slot].bytes + group * 64 * kBoxColumns * 2);
    const std::uint64_t k = rows_descriptor(shared.tiles[keys.slot()].bytes);
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
  __device__ void issue_values(RingSlot values) {
    const std::uint64_t v =
        columns_descriptor<Traits::kBoxBytes>(shared.tiles[values.slot()].bytes);
    pin(sums);
    pin(probabilities);
    begin_products();
#pragma unroll
    for (int step = 0; step < kKeys / 16; ++step)
      multiply_registers<Element>(sums, probabilities + 4 * step, v + step * 128);
    commit_products();
  }

  template <int kGroups>
  __device__ void wait_scores(RingSlot keys) {
    wait_products<kGroups>();
    pin(scores);
    release(&shared.tile_ring.empty[keys.slot()]);
  }

  __device__ void wait_values(RingSlot values) {
    wait_products<0>();
    pin(sums);
    pin(probabilities);
    release(&shared.tile_ring.empty[values.slot()]);
  }

  __device__ void exponentiate(int tile, Place place) {
    tiles.exponentiate(params, shared.notes, tile, place.count, scores, softmax, rescale);
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

  // The next job, once its queries are there; false where there is none.
  __device__ bool open(Job& job) {
    const std::uint32_t slot = turn.slot(), parity = turn.parity();
    wait_barrier(&shared.job_ring.full[slot], parity);
    const AnnouncedJob announced = take_job(shared, slot, lane);
    if (announced.row < 0) return false;
    job = {FusedJob(params.problem, announced.row), announced.first, announced.end, announced.piece,
           slot};
    wait_barrier(&shared.query_ring.full[slot], parity);
    ++turn.count;
    return true;
  }

  __device__ void clear_sums() {
#pragma unroll
    for (int i = 0; i < Traits::kSums; ++i) sums[i] = 0.0f;
  }

  // A job's first tile, with nothing to do beside its scores.
  __device__ void begin(const Job& job, Place place) {
    softmax.reset();
    clear_sums();
    prepare(job.block, job.first, place);
    issue_scores(job.query_slot, place.keys);
    wait_scores<0>(place.keys);
    exponentiate(job.first, place);
    pack_probabilities();
    if (job.first + 1 < job.end) prepare(job.block, job.first + 1, place.next());
  }

  // Scores of the tile at `place`, then values of the one before it.
  __device__ void issue_both(std::uint32_t query_slot, Place place) {
    const RingSlot values = place.values_before();
    take_turn();
    issue_scores(query_slot, place.keys);
    wait_barrier(&shared.tile_ring.full[values.slot()], values.parity());
    issue_values(values);
    pass_turn();
    wait_scores<1>(place.keys);
  }

  // All tiles behind the first; what is left are the last one's values.
  __device__ void go_through(const Job& job, Place& place) {
#pragma unroll 1
    for (int tile = job.first + 1; tile < job.end; ++tile) {
      place = place.next();
      issue_both(job.query_slot, place);
      give_back_queries();  // of the job before, whose result is on its way for a while
      exponentiate(tile, place);
      // Here and not above: ptxas moves the wait below up to the products unless a branch is
      // between.
      if (tile + 1 < job.end) prepare(job.block, tile + 1, place.next());
      wait_values(place.values_before());
      pack_probabilities();
      rescale_sums();
    }
    give_back_queries();
  }

  // The last values of `job` beside the first scores of `next`.
  __device__ void go_over(const Job& job, const Job& next, Place& place) {
    prepare(next.block, next.first, place.next());
    place = place.next();
    issue_both(next.query_slot, place);
    finish(job.block);
    softmax.reset();
    exponentiate(next.first, place);
    if (next.first + 1 < next.end) prepare(next.block, next.first + 1, place.next());
    wait_values(place.values_before());
    store(job);
    pack_probabilities();
    clear_sums();
  }

  // The last values of a job that no other follows, or of a part.
  __device__ void end(const Job& job, Place& place) {
    // One thread gives the values back for all, and the result is written over the queries;
    // elsewhere a turn comes first, here nothing else tells that the other warps are done with
    // those and have read what the tiles keep in shared memory.
    sync_threads(3 + group, 128);
    place = place.next();
    const RingSlot values = place.values_before();
    wait_barrier(&shared.tile_ring.full[values.slot()], values.parity());
    issue_values(values);
    wait_values(values);
    close(job);
  }

  // Zeros, where there are no keys.
  __device__ void answer_empty(const Job& job) {
    softmax.reset();
    clear_sums();
    close(job);
  }

  __device__ void close(const Job& job) {
    if (job.piece >= 0 &&
        !gather_parts<Traits>(params.queue, job.piece, group, 3 + group, sums, softmax)) {
      give_back_queries();
      stored = job.query_slot;
      return;
    }
    finish(job.block);
    store(job);
  }

  // The rows' sums of exponentials are complete.
  __device__ void finish(const FusedJob& job) {
    softmax.finish();
    inverse[0] = softmax.inverse(0);
    inverse[1] = softmax.inverse(1);
    store_log_sum_exp(job, job.query + group * 64 + warp * 16 + lane / 4);
  }

  // Where the last result was, once it is read; the loading side then puts other queries there.
  __device__ void give_back_queries() {
    if (stored == kNoSlot) return;
    if (lane == 0) {
      wait_stores_read();
      arrive(&shared.query_ring.empty[stored]);
    }
    stored = kNoSlot;
  }

  // Each warp writes its 16 rows over its queries and hands them to the copy engine, which clips
  // them at the last query.
  __device__ void store(const Job& own) {
    const FusedJob& job = own.block;
    give_back_queries();
    stored = own.query_slot;
    constexpr int kRowBytes = kBoxColumns * 2;
    const int stripe_row = group * 64 + warp * Traits::kStripeRows;
    std::byte* const stripe = shared.queries[own.query_slot].bytes + stripe_row * kRowBytes;
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
          shared_address(stripe) + step / 4 * Traits::kBoxBytes + row * kRowBytes + chunk * 16,
          packed[0], packed[1], packed[2], packed[3]);
    }
    fence_shared_writes();
    __syncwarp();
    if (lane != 0) return;
    const int first = job.query + stripe_row;
#pragma unroll
    for (int box = 0; box < Traits::kBoxes; ++box) {
      const std::byte* const from = stripe + box * Traits::kBoxBytes;
      if constexpr (Tiles::kSparesL2)
        store_box(params.out, from, box * kBoxColumns, first, job.head, job.batch, evict_first());
      else
        store_box(params.out, from, box * kBoxColumns, first, job.head, job.batch);
    }
    commit_stores();
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
    Place place;
    if (group == 1) pass_turn();  // the first warpgroup begins
    Job job;
    bool more = open(job);
    while (more) {
      if (job.is_empty()) {
        answer_empty(job);
        more = open(job);
        continue;
      }
      begin(job, place);
      for (;;) {
        go_through(job, place);
        Job next = job;
        more = open(next);
        const bool follows = more && job.piece < 0 && !next.is_empty();
        if (follows)
          go_over(job, next, place);
        else
          end(job, place);
        job = next;
        if (!follows) break;
      }
    }
    if (group == 0) take_turn();  // the turn nobody took: barriers end as they began
    if (lane == 0) wait_stores();
  }
};

template <typename Traits, typename Tiles>
__global__ void __launch_bounds__(Traits::kThreads, 1)
    hopper_attention_kernel(const __grid_constant__ typename Tiles::Params params) {
  extern __shared__ __align__(1024) std::byte hopper_shared_memory[];
  auto& shared = *reinterpret_cast<HopperShared<Traits, Tiles>*>(hopper_shared_memory);
  if (threadIdx.x == 0) init_barriers(shared);
  __syncthreads();
  if (threadIdx.x < 128) {
    static_assert(Tiles::kProducerRegisters + Traits::kConsumers * Tiles::kConsumerRegisters <=
                  Traits::kRegisters);
    release_registers<Tiles::kProducerRegisters>();
    Tiles::produce(params, shared);
  } else {
    claim_registers<Tiles::kConsumerRegisters>();
    Tiles::before_first(params);
    HopperConsumer<Traits, Tiles> consumer(params, shared);
    consumer.run();
  }
}

}  // namespace psagen::kernels::cuda
