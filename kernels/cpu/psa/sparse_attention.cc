// Attention of each query block over the key blocks that its row of block levels keeps, each at its
// level (spec psa.md 1.2): a pooled row of g tokens has ln g added to its score. Blocks lie in the
// pyramid in the form the attention tile reads, so a tile is a list of pieces, of any levels, up to
// 128 columns together; nothing is copied but blocks of four rows, which are joined in pairs.
//
// One task is one query block of one head, in the caller's order or with the longest of each head
// first; tasks share nothing, so the result does not depend on the number of threads.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/cpu/attention_layout.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/psa/psa_kernels.h"
#include "kernels/cpu/psa/pyramid_layout.h"
#include "kernels/cpu/psa/sparse_task.h"
#include "kernels/psa/block_levels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/psa/sparse_attention.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/attention_tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace psagen::kernels::cpu::HWY_NAMESPACE {
namespace {

// Collects pieces of keys and values; attends to them when they fill a tile.
class TileWriter {
 public:
  TileWriter(const HeadPyramid& head, const SparseScratch& scratch, std::int64_t panels)
      : head_(head), scratch_(scratch), num_panels_(panels) {}

  void add_level(int level_index, std::span<const std::uint16_t> blocks) {
    const std::int64_t rows = head_.rows(level_index);
    if (rows < kTileGroup) {
      for (std::size_t i = 0; i < blocks.size(); i += 2)
        add_joined(level_index, blocks.subspan(i, std::min<std::size_t>(2, blocks.size() - i)));
      return;
    }
    const int level = kPsaLevels[static_cast<std::size_t>(level_index)];
    for (const std::uint16_t block : blocks) {
      AttentionTile piece;
      piece.keys = head_.block_keys(level_index, block);
      piece.values = head_.block_values(level_index, block);
      piece.value_group_stride = rows * kTileGroup;
      piece.log2_weight = head_.block_log2_weight(level_index, block);
      piece.num_keys = round_up_to_group(head_.shape.block_rows(block, level));
      add(piece);
    }
  }

  void flush() {
    for (std::int64_t i = 0; i < num_panels_ && num_pieces_ > 0; ++i)
      attend_tiles(pieces_, num_pieces_, head_.depth, panel(scratch_, head_.depth, i),
                   scratch_.scores);
    num_pieces_ = columns_ = 0;
  }

  static AttentionPanel panel(const SparseScratch& scratch, std::int64_t depth,
                              std::int64_t index) {
    const std::int64_t lanes = panel_queries();
    const AttentionPanel& all = scratch.panels;
    return {all.queries + index * depth * lanes, all.max + index * lanes, all.sum + index * lanes,
            all.out + index * depth * lanes};
  }

 private:
  void add(const AttentionTile& piece) {
    if (columns_ + piece.num_keys > kTileColumns) flush();
    pieces_[num_pieces_++] = piece;
    columns_ += piece.num_keys;
  }

  // One or two blocks of four rows as a group of eight; the second half is absent where there is
  // only one.
  void add_joined(int level_index, std::span<const std::uint16_t> blocks) {
    if (columns_ + kTileGroup > kTileColumns) flush();
    const std::int64_t depth = head_.depth;
    float* keys = scratch_.joined_keys + columns_ * depth;
    float* values = scratch_.joined_values + columns_ * depth;
    float* weight = scratch_.joined_weight + columns_;
    if (blocks.size() < 2) {
      std::fill(keys, keys + kTileGroup * depth, 0.0f);
      std::fill(values, values + kTileGroup * depth, 0.0f);
      std::fill(weight, weight + kTileGroup, -std::numeric_limits<float>::infinity());
    }
    for (std::size_t half = 0; half < blocks.size(); ++half) {
      const std::int64_t first = static_cast<std::int64_t>(half) * kHalfGroup;
      const float* from_keys = head_.block_keys(level_index, blocks[half]);
      const float* from_values = head_.block_values(level_index, blocks[half]);
      std::copy_n(head_.block_log2_weight(level_index, blocks[half]), kHalfGroup, weight + first);
      for (std::int64_t column = 0; column < depth; ++column)
        std::copy_n(from_keys + column * kHalfGroup, kHalfGroup,
                    keys + column * kTileGroup + first);
      constexpr std::int64_t kHalf = kHalfGroup * kTileGroup;  // four rows of eight columns
      for (std::int64_t group = 0; group < depth / kTileGroup; ++group)
        std::copy_n(from_values + group * kHalf, kHalf,
                    values + group * 2 * kHalf + first * kTileGroup);
    }
    AttentionTile piece;
    piece.keys = keys;
    piece.values = values;
    piece.value_group_stride = kTileGroup * kTileGroup;
    piece.log2_weight = weight;
    piece.num_keys = kTileGroup;
    add(piece);
  }

  const HeadPyramid& head_;
  const SparseScratch& scratch_;
  const std::int64_t num_panels_;
  AttentionTile pieces_[kMaxPieces];
  std::int64_t num_pieces_ = 0;
  std::int64_t columns_ = 0;
};

void attend_query_block(const HeadPyramid& head, const LevelLists& lists, const QueryBlock& block,
                        const SparseScratch& scratch) {
  const std::int64_t lanes = panel_queries();
  const std::int64_t panels = (block.count + lanes - 1) / lanes;
  for (std::int64_t i = 0; i < panels; ++i) {
    const AttentionPanel panel = TileWriter::panel(scratch, head.depth, i);
    pack_query_panel(block.q + i * lanes * block.q_stride, block.q_stride,
                     std::min(lanes, block.count - i * lanes), head.depth, block.factor,
                     panel.queries);
    reset_panel(head.depth, panel);
  }
  TileWriter writer(head, scratch, panels);
  for (int level = 0; level < 4; ++level)
    writer.add_level(level, lists.blocks[static_cast<std::size_t>(level)]);
  writer.flush();
  for (std::int64_t i = 0; i < panels; ++i)
    finish_panel(TileWriter::panel(scratch, head.depth, i), head.depth,
                 std::min(lanes, block.count - i * lanes), block.out + i * lanes * block.out_stride,
                 block.out_stride, block.lse == nullptr ? nullptr : block.lse + i * lanes, 1);
}

}  // namespace
}  // namespace psagen::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace psagen::kernels::cpu {
namespace {

HWY_EXPORT(attend_query_block);

// Score columns computed for a row of levels: its rows of keys, in whole groups.
std::int64_t computed_columns(const LevelLists& lists, const PyramidShape& shape) {
  std::int64_t columns = 0;
  for (std::size_t i = 0; i < kPsaLevels.size(); ++i) {
    const std::span<const std::uint16_t> blocks = lists.blocks[i];
    const std::int64_t count = static_cast<std::int64_t>(blocks.size());
    const std::int64_t rows = shape.key_block / kPsaLevels[i];
    if (count == 0) continue;
    if (rows < kTileGroup)
      columns += round_up_to_group(count * rows);
    else  // only the last block of the sequence can be part-filled, and lists are ascending
      columns +=
          (count - 1) * rows + round_up_to_group(shape.block_rows(blocks.back(), kPsaLevels[i]));
  }
  return columns;
}

QueryBlock query_block_of(const SparseAttentionArgs& args, std::int64_t batch, std::int64_t head,
                          std::int64_t index) {
  const std::int64_t tokens = args.q.dim(1);
  const std::int64_t first = index * args.query_block;
  QueryBlock block;
  block.q = args.q.data<float>() + batch * args.q.stride(0) + first * args.q.stride(1) +
            head * args.q.stride(2);
  block.q_stride = args.q.stride(1);
  block.count = std::min<std::int64_t>(args.query_block, tokens - first);
  block.factor = static_cast<float>(args.scale) * kLog2E;
  block.out = args.out.data<float>() + batch * args.out.stride(0) + first * args.out.stride(1) +
              head * args.out.stride(2);
  block.out_stride = args.out.stride(1);
  if (args.lse)
    block.lse = args.lse.data<float>() + (batch * args.q.dim(2) + head) * tokens + first;
  return block;
}

}  // namespace

void attend_sparse(Context& context, const SparseAttentionArgs& args) {
  const PyramidShape& shape = args.pyramid.shape;
  const std::int64_t heads = args.levels.dim(1), query_blocks = args.levels.dim(2);
  const std::size_t key_blocks = static_cast<std::size_t>(args.levels.dim(3));
  const std::size_t num_rows = static_cast<std::size_t>(args.levels.dim(0) * heads * query_blocks);
  const std::span<const std::uint8_t> levels(args.levels.data<std::uint8_t>(),
                                             args.levels.num_bytes());
  Workspace::Scope memory(context.workspace());
  std::vector<SparseScratch> scratch;
  scratch.reserve(static_cast<std::size_t>(context.num_threads()));
  for (int i = 0; i < context.num_threads(); ++i)
    scratch.emplace_back(memory, args.query_block, args.q.dim(3), key_blocks);
  std::int64_t* columns = memory.take<std::int64_t>(num_rows);
  std::int32_t* const own = args.order ? nullptr : memory.take<std::int32_t>(num_rows);
  if (memory.counts_only()) return;
  if (own != nullptr)
    longest_first(levels, shape, query_blocks, {columns, num_rows}, {own, num_rows});
  const std::int32_t* const order = own != nullptr ? own : args.order.data<std::int32_t>();

  parallel_for(
      context, static_cast<std::int64_t>(num_rows), 1, [&](std::int64_t task, std::int64_t) {
        const std::int64_t row = order[task];
        const std::int64_t head = row / query_blocks % heads;
        const std::int64_t batch = row / query_blocks / heads;
        const SparseScratch& mine = scratch[static_cast<std::size_t>(thread_index())];
        const LevelLists lists = sort_by_level(
            levels.subspan(static_cast<std::size_t>(row) * key_blocks, key_blocks), mine.blocks);
        columns[row] = computed_columns(lists, shape);
        HWY_DYNAMIC_DISPATCH(attend_query_block)
        (HeadPyramid(args.pyramid, batch, head), lists,
         query_block_of(args, batch, head, row % query_blocks), mine);
      });

  if (!args.executed_density) return;
  float* density = args.executed_density.data<float>();
  for (std::int64_t head = 0; head < args.executed_density.num_elements(); ++head) {
    const std::int64_t* begin = columns + head * query_blocks;
    const std::int64_t computed = std::accumulate(begin, begin + query_blocks, std::int64_t{0});
    density[head] = static_cast<float>(static_cast<double>(computed) /
                                       static_cast<double>(query_blocks * shape.num_tokens));
  }
}

}  // namespace psagen::kernels::cpu
#endif  // HWY_ONCE
