#include "kernels/psa/block_mask.h"

#include <algorithm>

#include "kernels/core/error.h"
#include "kernels/psa/psa_params.h"

namespace psagen::kernels {

BlockMask::BlockMask(std::int64_t batch, std::int64_t heads, std::int64_t query_blocks,
                     std::int64_t key_blocks)
    : batch_(batch), heads_(heads), query_blocks_(query_blocks), key_blocks_(key_blocks) {
  PSAGEN_CHECK(key_blocks <= kMaxKeyBlocks, ErrorCode::kUnsupported, "a sequence of ", key_blocks,
               " key blocks is too long; at most ", kMaxKeyBlocks, " are possible");
  counts_.resize(static_cast<std::size_t>(num_rows()), Counts{});
  indices_.resize(static_cast<std::size_t>(num_rows() * key_blocks));
}

void BlockMask::set_row(std::int64_t row, std::span<const std::uint8_t> levels) {
  PSAGEN_ASSERT(static_cast<std::int64_t>(levels.size()) == key_blocks_);
  std::uint16_t* out = indices_.data() + row * key_blocks_;
  Counts& counts = counts_[static_cast<std::size_t>(row)];
  for (std::size_t level = 0; level < kPsaLevels.size(); ++level) {
    const std::uint16_t* begin = out;
    for (std::size_t j = 0; j < levels.size(); ++j)
      if (levels[j] == kPsaLevels[level]) *out++ = static_cast<std::uint16_t>(j);
    counts[level] = static_cast<std::uint16_t>(out - begin);
  }
}

void BlockMask::get_row(std::int64_t row, std::span<std::uint8_t> levels) const {
  std::fill(levels.begin(), levels.end(), std::uint8_t{0});
  for (int level = 0; level < 4; ++level)
    for (const std::uint16_t j : blocks(row, level))
      levels[j] = static_cast<std::uint8_t>(kPsaLevels[static_cast<std::size_t>(level)]);
}

std::span<const std::uint16_t> BlockMask::blocks(std::int64_t row, int level_index) const {
  const Counts& counts = counts_[static_cast<std::size_t>(row)];
  std::size_t begin = static_cast<std::size_t>(row * key_blocks_);
  for (int level = 0; level < level_index; ++level)
    begin += counts[static_cast<std::size_t>(level)];
  return std::span(indices_).subspan(begin, counts[static_cast<std::size_t>(level_index)]);
}

double BlockMask::nominal_density() const {
  if (num_rows() == 0 || key_blocks_ == 0) return 0.0;
  std::int64_t eighths = 0;  // exact: a block at level l is 8 / l eighths
  for (const Counts& counts : counts_)
    for (std::size_t level = 0; level < kPsaLevels.size(); ++level)
      eighths += counts[level] * (8 / kPsaLevels[level]);
  return static_cast<double>(eighths) / 8.0 / static_cast<double>(num_rows() * key_blocks_);
}

void BlockMask::check(bool require_blocks) const {
  std::vector<std::uint8_t> seen(static_cast<std::size_t>(key_blocks_));
  for (std::int64_t row = 0; row < num_rows(); ++row) {
    std::fill(seen.begin(), seen.end(), std::uint8_t{0});
    const Counts& counts = counts_[static_cast<std::size_t>(row)];
    const std::int64_t kept = std::int64_t{counts[0]} + counts[1] + counts[2] + counts[3];
    PSAGEN_CHECK(kept <= key_blocks_, ErrorCode::kInternal, "block mask row ", row, " lists ", kept,
                 " blocks of ", key_blocks_);
    PSAGEN_CHECK(kept > 0 || !require_blocks, ErrorCode::kInternal, "block mask row ", row,
                 " keeps no block");
    for (int level = 0; level < 4; ++level) {
      int previous = -1;
      for (const std::uint16_t j : blocks(row, level)) {
        PSAGEN_CHECK(j < key_blocks_ && j > previous && seen[j] == 0, ErrorCode::kInternal,
                     "block mask row ", row, " lists key block ", j,
                     " out of range, out of order or twice");
        seen[j] = 1;
        previous = j;
      }
    }
  }
}

}  // namespace psagen::kernels
