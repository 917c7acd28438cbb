// Which key blocks each query block attends to, and how finely: per (batch, head, query block) one
// list of key-block indices for each level, ascending. Softmax does not care about the order, and
// ascending lists let neighbouring blocks be read as one run.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace psagen::kernels {

class BlockMask {
 public:
  static constexpr std::int64_t kMaxKeyBlocks = 65535;  // indices are 16 bits wide

  BlockMask() = default;
  // Every row starts empty.
  BlockMask(std::int64_t batch, std::int64_t heads, std::int64_t query_blocks,
            std::int64_t key_blocks);

  std::int64_t batch() const { return batch_; }
  std::int64_t heads() const { return heads_; }
  std::int64_t query_blocks() const { return query_blocks_; }
  std::int64_t key_blocks() const { return key_blocks_; }
  std::int64_t num_rows() const { return batch_ * heads_ * query_blocks_; }
  std::int64_t row(std::int64_t batch, std::int64_t head, std::int64_t query_block) const {
    return (batch * heads_ + head) * query_blocks_ + query_block;
  }

  // levels[j] in {0, 1, 2, 4, 8} for each key block j. Rows may be set from several threads.
  void set_row(std::int64_t row, std::span<const std::uint8_t> levels);
  // Writes what set_row was given.
  void get_row(std::int64_t row, std::span<std::uint8_t> levels) const;

  // Blocks of level kPsaLevels[level_index].
  std::span<const std::uint16_t> blocks(std::int64_t row, int level_index) const;
  int count(std::int64_t row, int level_index) const {
    return counts_[static_cast<std::size_t>(row)][static_cast<std::size_t>(level_index)];
  }

  // Share of dense work: mean over rows of (n1 + n2/2 + n4/4 + n8/8) / key blocks.
  double nominal_density() const;

  // Throws Error(kInternal) naming the row unless every list is ascending, in range and no block is
  // listed twice. `require_blocks`: also unless every row keeps at least one block.
  void check(bool require_blocks = true) const;

 private:
  using Counts = std::array<std::uint16_t, 4>;

  std::int64_t batch_ = 0;
  std::int64_t heads_ = 0;
  std::int64_t query_blocks_ = 0;
  std::int64_t key_blocks_ = 0;
  std::vector<Counts> counts_;          // [row][level]
  std::vector<std::uint16_t> indices_;  // [row][key_blocks], the four lists one after the other
};

}  // namespace psagen::kernels
