// A row of scores to a row of levels: softmax, and the rule of kernels/psa/allocation_rule.h, which
// the CPU follows too. Given the same importance both choose the same levels, bit for bit:
//
// - A sort that is stable and descending has equal weights in the order of their blocks.
// - The running sum of the threshold rule is taken by one warp in the order of the host's, whose
//   rounding it thereby repeats: every lane adds all 32 weights of a turn one after the other. Two
//   passes, since what is compared is the sum's share of the whole.
//
// A block of threads or a warp a row (bitonic_team.cuh, radix_team.cuh), the weights in registers
// from the scores to the levels. Bytes of a row of K key blocks: 4 K read, K written, 4 K more
// where the importance is wanted.
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/device/online_softmax.cuh"
#include "kernels/cuda/device_views.h"
#include "kernels/cuda/psa/bitonic_team.cuh"
#include "kernels/cuda/psa/level_allocation.h"
#include "kernels/cuda/psa/radix_team.cuh"
#include "kernels/psa/allocation_rule.h"

namespace psagen::kernels::cuda {
namespace {

struct AllocationParams {
  PsaParams params;
  LevelEnds quota_ends;  // the same for every row
  const float* scores;   // [rows, slots, key blocks]
  float* importance;     // [rows, key blocks], or null
  int slots;
  int first_row, rows;
  const std::uint8_t* level_caps;
  std::uint8_t* levels;  // of row 0
  RowWork* work;
  int tokens, query_blocks, key_block, key_blocks;
  int means_of_block, last_means;

  __device__ int means_of(int query_block) const {
    return query_block + 1 < query_blocks ? means_of_block : last_means;
  }
  // At a level above 0, a power of two.
  __device__ int block_rows(int block, int level) const {
    return (min(tokens - block * key_block, key_block) + level - 1) >> (31 - __clz(level));
  }
};

template <typename Team>
__device__ inline void read_scores(const AllocationParams& p, const float* row,
                                   float (&scores)[Team::kItems]) {
#pragma unroll
  for (int i = 0; i < Team::kItems; ++i) {
    const int block = Team::block_of(i);
    scores[i] = block < p.key_blocks ? row[block] : minus_infinity();
  }
}

// The largest share that any of `count` rows of scores gives to a block, divided by the sum; zeros
// past the last one.
template <typename Team>
__device__ inline void importance_of(const AllocationParams& p, const float* rows, int count,
                                     typename Team::Shared& shared,
                                     float (&importance)[Team::kItems]) {
  constexpr int kItems = Team::kItems;
  float next[kItems];
  read_scores<Team>(p, rows, next);
#pragma unroll
  for (int i = 0; i < kItems; ++i) importance[i] = 0.0f;
#pragma unroll 1
  for (int slot = 0; slot < count; ++slot) {
    float shares[kItems];
    float max = minus_infinity();
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      shares[i] = next[i];
      max = fmaxf(max, shares[i]);
    }
    if (slot + 1 < count)  // on its way meanwhile
      read_scores<Team>(p, rows + static_cast<std::int64_t>(slot + 1) * p.key_blocks, next);
    max = Team::max(max, shared);
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      shares[i] = Team::block_of(i) < p.key_blocks ? exp2f(shares[i] - max) : 0.0f;
      sum += shares[i];
    }
    const float inverse = 1.0f / Team::sum(sum, shared);
#pragma unroll
    for (int i = 0; i < kItems; ++i) importance[i] = fmaxf(importance[i], shares[i] * inverse);
  }
  if (count == 1) return;
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < kItems; ++i) sum += importance[i];
  const float inverse = 1.0f / Team::sum(sum, shared);
#pragma unroll
  for (int i = 0; i < kItems; ++i) importance[i] *= inverse;
}

// One warp: the sum of the 32 weights of a turn, one after the other, onto `sum`; the lane's own is
// the sum up to its weight. `turn`: 32 numbers of shared memory, through which every lane gets them
// all as doubles.
__device__ inline double running_sum(float weight, double* turn, double& sum) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  __syncwarp();
  turn[lane] = static_cast<double>(weight);
  __syncwarp();
  double own = sum;
#pragma unroll
  for (int i = 0; i < 32; ++i) {
    sum += turn[i];
    if (i == lane) own = sum;
  }
  return own;
}

// One warp, weights sorted: where the levels end. Every lane gets it.
__device__ inline LevelEnds threshold_ends_of(const float* weights, int blocks,
                                              const PsaParams& params, double* turn) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const auto weight_at = [&](int position) { return position < blocks ? weights[position] : 0.0f; };
  double total = 0.0;
  for (int first = 0; first < blocks; first += 32)
    running_sum(weight_at(first + lane), turn, total);
  std::array<std::int64_t, 4> within{};
  double sum = 0.0;
  for (int first = 0; first < blocks; first += 32) {
    const bool there = first + lane < blocks;
    const double own = running_sum(weight_at(first + lane), turn, sum);
    const double share = allocation::cumulative_share(own, total, first + lane, blocks);
    int added = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      added = __popc(__ballot_sync(
          0xffffffffu,
          there && share <= allocation::threshold_bound(params, static_cast<std::size_t>(i))));
      within[static_cast<std::size_t>(i)] += added;
    }
    // Shares never fall: past the last bound nothing more is within any.
    if (added < 32) break;
  }
  return allocation::threshold_ends(within, blocks, params);
}

template <typename Team>
__global__ void __launch_bounds__(Team::kThreads* Team::kRowsOfBlock)
    allocation_kernel(const AllocationParams p) {
  constexpr int kThreads = Team::kThreads, kItems = Team::kItems;
  constexpr int kCapacity = kThreads * kItems;
  union Shared {
    typename Team::Shared team;
    float sorted[kCapacity];  // weights
    std::uint8_t levels[kCapacity];
  };
  __shared__ Shared shared_of_rows[Team::kRowsOfBlock];
  __shared__ LevelEnds ends_of_rows[Team::kRowsOfBlock];
  __shared__ __align__(16) double turn_of_rows[Team::kRowsOfBlock][32];
  Shared& shared = shared_of_rows[Team::row()];
  LevelEnds& ends = ends_of_rows[Team::row()];

  const int index = static_cast<int>(blockIdx.x) * Team::kRowsOfBlock + Team::row();
  if (index >= p.rows) return;
  const int row = p.first_row + index, head = row / p.query_blocks;
  const int query_block = row - head * p.query_blocks;
  const int first = Team::index() * kItems;  // of the thread's positions, once they are sorted
  float importance[kItems];
  importance_of<Team>(p, p.scores + static_cast<std::int64_t>(index) * p.slots * p.key_blocks,
                      p.slots == 1 ? 1 : p.means_of(query_block), shared.team, importance);
  if (p.importance != nullptr)
#pragma unroll
    for (int i = 0; i < kItems; ++i)
      if (const int block = Team::block_of(i); block < p.key_blocks)
        p.importance[static_cast<std::int64_t>(index) * p.key_blocks + block] = importance[i];
  bool infinite = false;
#pragma unroll
  for (int i = 0; i < kItems; ++i) infinite = infinite || allocation::is_infinite(importance[i]);
  infinite = Team::any(infinite);
  std::uint32_t keys[kItems];
  std::uint16_t blocks[kItems];
#pragma unroll
  for (int i = 0; i < kItems; ++i) {
    keys[i] = allocation::sort_key(allocation::weight_of(importance[i], infinite));
    blocks[i] = static_cast<std::uint16_t>(Team::block_of(i));
  }
  // Thread t then has positions [t kItems, (t + 1) kItems).
  Team::sort(keys, blocks, p.key_blocks, shared.team);

  if (p.params.selection == LevelSelection::kThreshold) {
#pragma unroll
    for (int i = 0; i < kItems; ++i) shared.sorted[first + i] = __uint_as_float(keys[i]);
    Team::sync();
    if (Team::index() < 32) {
      const LevelEnds found =
          threshold_ends_of(shared.sorted, p.key_blocks, p.params, turn_of_rows[Team::row()]);
      if (Team::index() == 0) ends = found;
    }
  } else if (Team::index() == 0) {
    ends = p.quota_ends;
  }
  Team::sync();

#pragma unroll
  for (int i = 0; i < kItems; ++i)
    if (blocks[i] < p.key_blocks)
      shared.levels[blocks[i]] = allocation::level_at(first + i, ends, std::uint8_t{8});
  Team::sync();
  const bool is_whole =
      is_protected(p.params, static_cast<std::int64_t>(query_block) * p.params.query_block,
                   p.params.query_block);
  const std::uint8_t* const caps =
      p.level_caps == nullptr ? nullptr
                              : p.level_caps + static_cast<std::int64_t>(head) * p.key_blocks;
  std::uint8_t* const levels = p.levels + static_cast<std::int64_t>(row) * p.key_blocks;
  std::int32_t columns = 0, eighths = 0;
#pragma unroll 1
  for (int block = Team::index(); block < p.key_blocks; block += kThreads) {
    int level = shared.levels[block];
    if (caps != nullptr) level = min(level, static_cast<int>(caps[block]));  // 0 stays 0
    if (is_whole ||
        is_protected(p.params, static_cast<std::int64_t>(block) * p.key_block, p.key_block))
      level = 1;
    levels[block] = static_cast<std::uint8_t>(level);
    if (level == 0) continue;
    columns += p.block_rows(block, level);
    eighths += 8 >> (31 - __clz(level));
  }
  Team::sync();  // the sums take the memory of the levels
  columns = Team::sum(columns, shared.team);
  eighths = Team::sum(eighths, shared.team);
  if (Team::index() == 0) p.work[row] = {columns, eighths};
}

template <typename Team>
void launch(CudaRuntime& runtime, const AllocationParams& p) {
  const int blocks = (p.rows + Team::kRowsOfBlock - 1) / Team::kRowsOfBlock;
  allocation_kernel<Team>
      <<<static_cast<unsigned>(blocks), Team::kThreads * Team::kRowsOfBlock, 0, runtime.stream()>>>(
          p);
  PSAGEN_CUDA(cudaGetLastError());
}

void launch_rows(CudaRuntime& runtime, const AllocationParams& p) {
  // Rows of the published models: 32,760 tokens are 256, 512 or 1,024 key blocks, 75,600 are 591,
  // 1,182 or 2,363.
  if (p.key_blocks <= 256) return launch<BitonicTeam<32>>(runtime, p);
  if (p.key_blocks <= 512) return launch<BitonicTeam<64>>(runtime, p);
  if (p.key_blocks <= 1024) return launch<BitonicTeam<128>>(runtime, p);
  if (p.key_blocks <= 1280) return launch<RadixTeam<128, 10>>(runtime, p);
  if (p.key_blocks <= 2560) return launch<RadixTeam<256, 10>>(runtime, p);
  launch<RadixTeam<512, 16>>(runtime, p);
  static_assert(512 * 16 == kMostSortedBlocks);
}

}  // namespace

void allocate_levels(CudaRuntime& runtime, const SelectionShape& shape, const PsaParams& params,
                     const ScoreRows& rows, const LevelRows& out) {
  AllocationParams p{};
  p.slots = rows.slots;
  p.means_of_block = shape.means_of(0);
  p.last_means = shape.means_of(shape.query_blocks - 1);
  p.level_caps = out.level_caps;
  p.levels = out.levels;
  p.work = out.work;
  p.tokens = as_int(shape.tokens);
  p.query_blocks = shape.query_blocks;
  p.key_block = shape.key_block;
  p.key_blocks = shape.key_blocks;
  // Neighbouring heads with the same bounds, which mostly are all: one launch.
  const auto bounds_of = [&](int head) { return bounds_of_head(params, head % shape.heads); };
  const int end = rows.first_head + rows.heads;
  for (int head = rows.first_head, next = head; head < end; head = next) {
    while (next < end && bounds_of(next) == bounds_of(head)) ++next;
    p.params = params_of_head(params, head % shape.heads);
    p.quota_ends = allocation::quota_ends(shape.key_blocks, p.params);
    p.first_row = head * shape.query_blocks;
    p.scores = rows.scores + static_cast<std::int64_t>(head - rows.first_head) *
                                 shape.query_blocks * rows.slots * shape.key_blocks;
    if (out.importance != nullptr)
      p.importance = out.importance + static_cast<std::int64_t>(p.first_row) * shape.key_blocks;
    p.rows = (next - head) * shape.query_blocks;
    launch_rows(runtime, p);
  }
}

}  // namespace psagen::kernels::cuda
