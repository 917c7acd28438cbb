// How much each query block cares about each key block (spec psa.md section 2), and which blocks it
// therefore keeps.
//
// Pooled log-sum-exp, the default: means of 32 queries against the level-8 keys of the pyramid, the
// very approximation that attention would make at its coarsest. Each gives each block of keys a
// share of its attention, from the log-sum-exp of (q . k) scale + ln g over the block's rows; the
// importance is the largest share of any of them, divided by the row's sum. (Their mean would let a
// block that one of them needs fall behind blocks that none does.) Staggered: the same with every
// eighth query itself, for means of queries see less than queries do, and means of two keys of
// eight. Sampled, the official code's: a quarter of the queries and keys of each block; per query
// the best score in each block relative to its best score anywhere, the maximum over the queries,
// then each row divided by its sum. Uniform: a fixed hash, whatever the blocks hold.
//
// As in attention, a lane is a query. One task is as many query blocks of one head as fill 32
// lanes, against all key blocks; it ends with their rows of block levels.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "kernels/core/error.h"
#include "kernels/cpu/attention_layout.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/psa/block_scores.h"
#include "kernels/cpu/psa/psa_kernels.h"
#include "kernels/cpu/psa/pyramid_layout.h"
#include "kernels/psa/block_levels.h"
#include "kernels/psa/level_allocation.h"
#include "kernels/psa/sampling.h"
#include "kernels/psa/uniform_score.h"

namespace psagen::kernels::cpu {
namespace {

constexpr int kCoarsest = 3;             // index of level 8
constexpr std::int64_t kTaskLanes = 32;  // aimed at
constexpr std::int64_t kMaxLanes = 64;   // 256 / 4 sampled queries

// Mean of all keys of a head, from its level-8 rows.
void mean_key(const HeadPyramid& head, float* mean) {
  const std::int64_t rows = head.rows(kCoarsest);
  const std::int64_t width = key_group_width(rows);
  std::fill(mean, mean + head.depth, 0.0f);
  for (std::int64_t block = 0; block < head.shape.key_blocks(); ++block) {
    const float* keys = head.block_keys(kCoarsest, block);
    const float* weight = head.block_log2_weight(kCoarsest, block);
    for (std::int64_t first = 0; first < rows; first += width, keys += width * head.depth) {
      float tokens[kTileGroup];
      for (std::int64_t r = 0; r < width; ++r) tokens[r] = std::exp2(weight[first + r]);
      for (std::int64_t column = 0; column < head.depth; ++column)
        for (std::int64_t r = 0; r < width; ++r)
          mean[column] += keys[column * width + r] * tokens[r];
    }
  }
  for (std::int64_t column = 0; column < head.depth; ++column)
    mean[column] /= static_cast<float>(head.shape.num_tokens);
}

// out[s] = mean of the queries [32 s, 32 s + 32) of a block of `count` queries.
std::int64_t mean_queries(const float* q, std::int64_t stride, std::int64_t count,
                          std::int64_t depth, float* out) {
  std::int64_t means = 0;
  for (std::int64_t first = 0; first < count; first += kPooledQueries, ++means, out += depth) {
    const std::int64_t end = std::min(first + kPooledQueries, count);
    std::copy_n(q + first * stride, depth, out);
    for (std::int64_t t = first + 1; t < end; ++t)
      for (std::int64_t column = 0; column < depth; ++column) out[column] += q[t * stride + column];
    for (std::int64_t column = 0; column < depth; ++column)
      out[column] /= static_cast<float>(end - first);
  }
  return means;
}

// out[s] = what stands for queries [8 s, 8 s + 8) of a block that begins with token `token`.
std::int64_t staggered_queries(const float* q, std::int64_t stride, std::int64_t token,
                               std::int64_t count, std::int64_t depth, float* out) {
  std::int64_t rows = 0;
  for (std::int64_t first = 0; first < count; first += kStaggeredQueries, ++rows, out += depth) {
    const int chosen = staggered_query(static_cast<int>((token + first) / kStaggeredQueries));
    std::copy_n(q + std::min(first + chosen, count - 1) * stride, depth, out);
  }
  return rows;
}

// `count` positions of a block; those past its end stand for its last token.
std::int64_t gather_rows(const float* rows, std::int64_t stride, std::int64_t tokens,
                         std::span<const std::int32_t> positions, std::int64_t depth, float* out) {
  for (const std::int32_t position : positions) {
    std::copy_n(rows + std::min<std::int64_t>(position, tokens - 1) * stride, depth, out);
    out += depth;
  }
  return static_cast<std::int64_t>(positions.size());
}

// One row of importance from the scores of lanes [first, first + count) of the task: the largest
// share of its mass that any of the queries gives to a block. The scores are used up.
void pooled_row(float* block_scores, std::int64_t first, std::int64_t count,
                std::span<float> importance) {
  const auto score = [&](std::size_t j, std::int64_t s) -> float& {
    return block_scores[static_cast<std::int64_t>(j) * kMaxLanes + first + s];
  };
  std::fill(importance.begin(), importance.end(), 0.0f);
  for (std::int64_t s = 0; s < count; ++s) {
    float max = -std::numeric_limits<float>::infinity();
    for (std::size_t j = 0; j < importance.size(); ++j) max = std::max(max, score(j, s));
    double sum = 0.0;
    for (std::size_t j = 0; j < importance.size(); ++j)
      sum += score(j, s) = std::exp2(score(j, s) - max);
    for (std::size_t j = 0; j < importance.size(); ++j)
      importance[j] = std::max(importance[j], static_cast<float>(score(j, s) / sum));
  }
}

void sampled_row(const float* block_scores, std::int64_t count, std::span<float> importance) {
  float best[kMaxLanes];
  std::fill_n(best, count, -std::numeric_limits<float>::infinity());
  for (std::size_t j = 0; j < importance.size(); ++j)
    for (std::int64_t s = 0; s < count; ++s)
      best[s] = std::max(best[s], block_scores[static_cast<std::int64_t>(j) * kMaxLanes + s]);
  for (std::size_t j = 0; j < importance.size(); ++j) {
    const float* lane = block_scores + static_cast<std::int64_t>(j) * kMaxLanes;
    float nearest = -std::numeric_limits<float>::infinity();
    for (std::int64_t s = 0; s < count; ++s) nearest = std::max(nearest, lane[s] - best[s]);
    importance[j] = std::exp2(nearest);
  }
}

void uniform_row(std::int64_t head, std::int64_t query_block, std::span<float> importance) {
  float max = 0.0f;
  for (std::size_t j = 0; j < importance.size(); ++j) {
    importance[j] =
        uniform_score(static_cast<std::uint32_t>(head), static_cast<std::uint32_t>(query_block),
                      static_cast<std::uint32_t>(j));
    max = std::max(max, importance[j]);
  }
  for (float& value : importance) value = std::exp2(value - max);
}

void normalise(std::span<float> importance) {
  double sum = 0.0;
  for (const float value : importance) sum += value;
  for (float& value : importance) value = static_cast<float>(value / sum);
}

// Memory of one thread.
struct Scratch {
  Scratch(Workspace::Scope& memory, std::int64_t key_blocks, std::int64_t depth)
      : rows(memory.take<float>(static_cast<std::size_t>(kMaxLanes * depth))),
        panels(memory.take<float>(static_cast<std::size_t>(kMaxLanes * depth))),
        block_scores(memory.take<float>(static_cast<std::size_t>(key_blocks * kMaxLanes))) {
    const std::size_t blocks = static_cast<std::size_t>(key_blocks);
    importance = {memory.take<float>(blocks), blocks};
    allocation = {{memory.take<std::int32_t>(blocks), blocks},
                  {memory.take<double>(blocks), blocks},
                  {memory.take<double>(blocks), blocks}};
  }

  float* rows;          // [lanes][depth] pooled or sampled queries
  float* panels;        // the same as lanes
  float* block_scores;  // [key block][kMaxLanes]
  std::span<float> importance;
  LevelAllocationScratch allocation;
};

class BlockSelector {
 public:
  BlockSelector(Context& context, const SelectBlocksArgs& args, Workspace::Scope& memory)
      : args_(args),
        sampled_(args.params.estimator == ImportanceEstimator::kSampled),
        staggered_(args.params.estimator == ImportanceEstimator::kStaggered),
        shape_(args.pyramid.shape),
        heads_(args.q.dim(2)),
        depth_(args.q.dim(3)),
        query_block_(args.params.query_block),
        lanes_per_block_(query_block_ / (sampled_ ? 4 : queries_of_row(args.params.estimator))),
        blocks_per_task_(std::max<std::int64_t>(1, kTaskLanes / lanes_per_block_)) {
    for (int i = 0; i < context.num_threads(); ++i)
      scratch_.emplace_back(memory, shape_.key_blocks(), depth_);
    const std::int64_t all_heads = args.q.dim(0) * heads_;
    if (sampled_ || staggered_)
      keys_ = memory.take<float>(
          static_cast<std::size_t>(all_heads * shape_.key_blocks() * keys_per_block() * depth_));
    if (!sampled_ && !uniform())
      means_ = memory.take<float>(static_cast<std::size_t>(all_heads * depth_));
  }

  void run(Context& context) {
    if (sampled_) draw_positions();
    if (sampled_ || staggered_) gather_keys(context);
    if (!sampled_ && !uniform()) average_keys(context);
    const std::int64_t tasks = (args_.levels.dim(2) + blocks_per_task_ - 1) / blocks_per_task_;
    parallel_for(context, args_.q.dim(0) * heads_ * tasks, 1, [&](std::int64_t task, std::int64_t) {
      select(task / tasks, task % tasks * blocks_per_task_,
             scratch_[static_cast<std::size_t>(thread_index())]);
    });
  }

 private:
  bool uniform() const { return args_.params.estimator == ImportanceEstimator::kUniform; }

  const float* row_of(const ConstTensorView& x, std::int64_t head, std::int64_t token) const {
    return x.data<float>() + head / heads_ * x.stride(0) + token * x.stride(1) +
           head % heads_ * x.stride(2);
  }

  // Of those that queries are held against.
  std::int64_t keys_per_block() const { return shape_.key_block / (sampled_ ? 4 : 8); }

  void average_keys(Context& context) {
    parallel_for(context, args_.q.dim(0) * heads_, 1, [&](std::int64_t head, std::int64_t) {
      mean_key(HeadPyramid(args_.pyramid, head / heads_, head % heads_), means_ + head * depth_);
    });
  }

  void draw_positions() {
    for (std::int64_t head = 0; head < args_.q.dim(0) * heads_; ++head) {
      query_positions_.push_back(
          sampled_positions(args_.params.seed, SampledSide::kQuery, head, query_block_));
      key_positions_.push_back(
          sampled_positions(args_.params.seed, SampledSide::kKey, head, shape_.key_block));
    }
  }

  // Laid out as the keys of the pyramid's blocks.
  void gather_keys(Context& context) {
    const std::int64_t all_heads = args_.q.dim(0) * heads_, blocks = shape_.key_blocks();
    parallel_for(context, all_heads * blocks, 8, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t task = begin; task < end; ++task) {
        float* const to = keys_ + task * keys_per_block() * depth_;
        for (std::int64_t r = 0; r < keys_per_block(); ++r)
          if (sampled_)
            gather_sampled(task / blocks, task % blocks, r, to);
          else
            gather_pair(task / blocks, task % blocks, r, to);
      }
    });
  }

  // Key `r` of a block; past the sequence's end its last token.
  void gather_sampled(std::int64_t head, std::int64_t block, std::int64_t r, float* to) const {
    const std::int64_t place =
        key_positions_[static_cast<std::size_t>(head)][static_cast<std::size_t>(r)];
    const std::int64_t token = std::min(block * shape_.key_block + place, shape_.num_tokens - 1);
    const float* const key = row_of(args_.k, head, token);
    for (std::int64_t column = 0; column < depth_; ++column)
      to[key_offset(keys_per_block(), depth_, r, column)] = key[column];
  }

  // Of the four means of two of a group of eight the one that stands for it; past the sequence's
  // end the last there is.
  void gather_pair(std::int64_t head, std::int64_t block, std::int64_t r, float* to) const {
    constexpr int kPairs = 1;  // index of level 2
    const HeadPyramid pyramid(args_.pyramid, head / heads_, head % heads_);
    const std::int64_t group = block * keys_per_block() + r, rows = pyramid.rows(kPairs);
    const std::int64_t pair = 4 * group + staggered_pair(args_.params.seed, static_cast<int>(head),
                                                         static_cast<int>(group));
    const std::int64_t row = std::min(pair, (shape_.num_tokens - 1) / 2);
    const float* const keys = pyramid.block_keys(kPairs, row / rows);
    for (std::int64_t column = 0; column < depth_; ++column)
      to[key_offset(keys_per_block(), depth_, r, column)] =
          keys[key_offset(rows, depth_, row % rows, column)];
  }

  ScoredKeys scored_keys(std::int64_t head) const {
    ScoredKeys keys;
    keys.num_blocks = shape_.key_blocks();
    keys.depth = depth_;
    keys.keys_per_block = keys_per_block();
    if (sampled_ || staggered_)
      keys.keys = keys_ + head * keys.num_blocks * keys.keys_per_block * depth_;
    if (sampled_) return keys;
    const HeadPyramid pyramid(args_.pyramid, head / heads_, head % heads_);
    if (!staggered_) keys.keys = pyramid.block_keys(kCoarsest, 0);
    keys.log2_weight = pyramid.block_log2_weight(kCoarsest, 0);
    keys.mean = means_ + head * depth_;
    return keys;
  }

  // Query blocks from `first` on, as many as belong to the task.
  void select(std::int64_t head, std::int64_t first, Scratch& scratch) const {
    const std::int64_t end = std::min(first + blocks_per_task_, args_.levels.dim(2));
    const std::int64_t lanes = uniform() ? 0 : score(head, first, end, scratch);
    for (std::int64_t block = first; block < end; ++block) {
      const std::int64_t lane = (block - first) * lanes_per_block_;
      if (uniform())
        uniform_row(head, block, scratch.importance);
      else if (sampled_)
        sampled_row(scratch.block_scores + lane, lanes_per_block_, scratch.importance);
      else
        pooled_row(scratch.block_scores, lane, std::min(lanes_per_block_, lanes - lane),
                   scratch.importance);
      normalise(scratch.importance);
      allocate(head, block, scratch);
    }
  }

  // Of query blocks [first, end), into scratch.block_scores. Returns the lanes used.
  std::int64_t score(std::int64_t head, std::int64_t first, std::int64_t end,
                     Scratch& scratch) const {
    std::int64_t lanes = 0;
    for (std::int64_t block = first; block < end; ++block) {
      const std::int64_t token = block * query_block_;
      const std::int64_t tokens = std::min(query_block_, shape_.num_tokens - token);
      const float* q = row_of(args_.q, head, token);
      float* rows = scratch.rows + lanes * depth_;
      const std::int64_t stride = args_.q.stride(1);
      if (sampled_)
        lanes += gather_rows(q, stride, tokens, query_positions_[static_cast<std::size_t>(head)],
                             depth_, rows);
      else if (staggered_)
        lanes += staggered_queries(q, stride, token, tokens, depth_, rows);
      else
        lanes += mean_queries(q, stride, tokens, depth_, rows);
    }
    score_key_blocks(scored_keys(head), scratch.rows, lanes, args_.scale,
                     sampled_ ? BlockReduction::kMax : BlockReduction::kLogSumExp, scratch.panels,
                     scratch.block_scores);
    return lanes;
  }

  void allocate(std::int64_t head, std::int64_t query_block, Scratch& scratch) const {
    const std::int64_t row = head * args_.levels.dim(2) + query_block;
    const std::int64_t key_blocks = shape_.key_blocks();
    if (args_.importance)
      std::copy(scratch.importance.begin(), scratch.importance.end(),
                args_.importance.data<float>() + row * key_blocks);
    std::span<const std::uint8_t> caps;
    if (args_.params.similarity_cap)
      caps = {args_.pyramid.level_caps.data<std::uint8_t>() + head * key_blocks,
              static_cast<std::size_t>(key_blocks)};
    const std::span<std::uint8_t> levels(args_.levels.data<std::uint8_t>() + row * key_blocks,
                                         static_cast<std::size_t>(key_blocks));
    allocate_levels(scratch.importance, caps, params_of_head(args_.params, head % heads_),
                    scratch.allocation, levels);
    protect_tokens(args_.params, query_block, levels);
  }

  const SelectBlocksArgs& args_;
  const bool sampled_, staggered_;
  const PyramidShape shape_;
  const std::int64_t heads_;
  const std::int64_t depth_;
  const std::int64_t query_block_;
  const std::int64_t lanes_per_block_;
  const std::int64_t blocks_per_task_;
  float* keys_ = nullptr;   // per head: the packed keys of the sampled and staggered estimators
  float* means_ = nullptr;  // per head: the mean key
  std::vector<std::vector<std::int32_t>> query_positions_, key_positions_;  // per head, sampled
  std::vector<Scratch> scratch_;                                            // per thread
};

}  // namespace

void select_by_importance(Context& context, const SelectBlocksArgs& args) {
  Workspace::Scope memory(context.workspace());
  BlockSelector selector(context, args, memory);
  const std::size_t rows = static_cast<std::size_t>(args.order ? args.order.num_elements() : 0);
  std::int64_t* const row_lengths = memory.take<std::int64_t>(rows);
  if (memory.counts_only()) return;
  selector.run(context);
  const std::span<const std::uint8_t> levels(args.levels.data<std::uint8_t>(),
                                             args.levels.num_bytes());
  if (args.order)
    longest_first(levels, args.pyramid.shape, args.levels.dim(2), {row_lengths, rows},
                  {args.order.data<std::int32_t>(), rows});
  if (args.nominal_density) {
    float* density = args.nominal_density.data<float>();
    const std::size_t heads = static_cast<std::size_t>(args.nominal_density.num_elements());
    const std::size_t size = levels.size() / heads;
    for (std::size_t head = 0; head < heads; ++head)
      density[head] = static_cast<float>(nominal_density(levels.subspan(head * size, size)));
  }
}

}  // namespace psagen::kernels::cpu
