// Chooses blocks on the GPU and holds what comes out against the double-precision formulas and the
// host's rules.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>
#include <span>

#include "kernels/psa/allocation_rule.h"
#include "kernels/psa/block_levels.h"
#include "kernels/psa/level_allocation.h"
#include "kernels/psa/sampling.h"
#include "tests/parity/cuda/psa_prepare_fixture.h"

namespace psagen::kernels {

class SelectionCuda : public PsaPrepareCuda {
 protected:
  static constexpr std::uint64_t kSeed = 1234567890123;

  // Importance from the rows the pyramid holds and, where the matrix units take them, from means
  // rounded to their type: what is left is the rounding of sums and exponentials. Rows from
  // `first_block` on.
  std::vector<double> importance_of_stored_rows(PrepareProblem& p, std::int64_t batch,
                                                std::int64_t head, ImportanceEstimator estimator,
                                                std::int64_t first_block = 0) {
    const std::int64_t group = queries_of_row(estimator);
    const reference::PsaProblem r = reference_problem(p, batch, head);
    const std::vector<double> keys = values(p.keys);
    const std::int64_t depth = p.size.depth, block_rows = p.size.key_block / 8;
    const std::int64_t all_head = batch * p.size.heads + head;
    const bool by_matrix = dtype() != DType::kF32 && (depth == 64 || depth == 128);
    std::vector<double> result;
    for (std::int64_t i = first_block; i < p.query_blocks(); ++i) {
      std::vector<double> row(static_cast<std::size_t>(p.key_blocks()), 0.0);
      const std::int64_t end = std::min((i + 1) * p.size.query_block, p.size.tokens);
      for (std::int64_t begin = i * p.size.query_block; begin < end; begin += group) {
        std::int64_t first = begin, last = std::min(begin + group, end);
        if (estimator == ImportanceEstimator::kStaggered) {
          first = std::min(begin + staggered_query(static_cast<int>(begin / group)), end - 1);
          last = first + 1;
        }
        std::vector<double> mean(static_cast<std::size_t>(depth), 0.0);
        for (std::int64_t d = 0; d < depth; ++d) {
          double& value = mean[static_cast<std::size_t>(d)];
          for (std::int64_t t = first; t < last; ++t)
            value += r.q[static_cast<std::size_t>(t * depth + d)];
          value /= static_cast<double>(last - first);
          const double factor = p.scale() / std::log(2.0);  // rounded as they are scaled
          if (by_matrix) value = rounded(value * factor, dtype()) / factor;
        }
        std::vector<double> mass;
        for (std::int64_t j = 0; j < p.key_blocks(); ++j) {
          double sum = 0.0;  // scores are small enough to do without a maximum
          for (std::int64_t u = 0; u < block_rows; ++u) {
            const std::int64_t tokens =
                std::min<std::int64_t>(p.size.tokens - (j * block_rows + u) * 8, 8);
            if (tokens <= 0) continue;
            const std::int64_t row = j * block_rows + u;
            std::int64_t from = p.shape.row_begin(3, 0) + row;
            if (estimator == ImportanceEstimator::kStaggered)
              from = p.shape.row_begin(1, 0) +
                     std::min(4 * row + staggered_pair(kSeed, static_cast<int>(all_head),
                                                       static_cast<int>(row)),
                              (p.size.tokens - 1) / 2);
            const double* const key =
                keys.data() + (all_head * p.shape.total_rows() + from) * depth;
            double product = 0.0;
            for (std::int64_t d = 0; d < depth; ++d)
              product += mean[static_cast<std::size_t>(d)] * key[d];
            sum += static_cast<double>(tokens) * std::exp(p.scale() * product);
          }
          mass.push_back(sum);
        }
        const double all = std::accumulate(mass.begin(), mass.end(), 0.0);
        for (std::size_t j = 0; j < row.size(); ++j) row[j] = std::max(row[j], mass[j] / all);
      }
      const double total = std::accumulate(row.begin(), row.end(), 0.0);
      for (const double value : row) result.push_back(value / total);
    }
    return result;
  }

  static void expect_relative(std::span<const float> found, const std::vector<double>& truth,
                              double tolerance, const std::string& what) {
    ASSERT_EQ(found.size(), truth.size());
    for (std::size_t i = 0; i < truth.size(); ++i)
      ASSERT_NEAR(found[i], truth[i], tolerance * truth[i]) << what << ", pair " << i;
  }

  // Bit for bit what the host's rules make of the importance that was found.
  void expect_levels_follow_importance(PrepareProblem& p, const PsaParams& params) {
    const std::vector<float> importance = bytes_of<float>(p.importance);
    const std::vector<std::uint8_t> levels = bytes_of<std::uint8_t>(p.levels);
    const std::vector<std::uint8_t> caps = bytes_of<std::uint8_t>(p.level_caps);
    const std::size_t blocks = static_cast<std::size_t>(p.key_blocks());
    const std::size_t rows = levels.size() / blocks;
    std::vector<std::int32_t> sorted(blocks);
    std::vector<double> weight(blocks), cumulative(blocks);
    std::vector<std::uint8_t> wanted(blocks);
    for (std::size_t row = 0; row < rows; ++row) {
      std::span<const std::uint8_t> row_caps;
      if (params.similarity_cap)
        row_caps = std::span(caps).subspan(
            row / static_cast<std::size_t>(p.query_blocks()) * blocks, blocks);
      const std::int64_t head = static_cast<std::int64_t>(row) / p.query_blocks() % p.size.heads;
      allocate_levels(std::span(importance).subspan(row * blocks, blocks), row_caps,
                      params_of_head(params, head), {sorted, weight, cumulative}, wanted);
      protect_tokens(params, static_cast<std::int64_t>(row) % p.query_blocks(), wanted);
      ASSERT_EQ(0, std::memcmp(wanted.data(), levels.data() + row * blocks, blocks))
          << "row " << row;
    }
    std::vector<std::int64_t> columns(rows);
    std::vector<std::int32_t> order(rows);
    longest_first(levels, p.shape, p.query_blocks(), columns, order);
    EXPECT_EQ(bytes_of<std::int32_t>(p.order), order);
    const std::vector<float> density = bytes_of<float>(p.nominal_density);
    const std::size_t head_bytes = levels.size() / density.size();
    for (std::size_t head = 0; head < density.size(); ++head)
      EXPECT_EQ(density[head], static_cast<float>(nominal_density(
                                   std::span(levels).subspan(head * head_bytes, head_bytes))));
  }

  void select(const SelectBlocksArgs& args, bool portable) {
    Ops& selecting = portable ? portable_ops() : ops();
    context_->runtime()->synchronize();  // the two contexts have a stream each
    selecting.select_blocks(args);
    selecting.context().runtime()->synchronize();
  }

  // Twice, bit for bit the same; and without the optional outputs the same levels. `sharpness`: of
  // all scores.
  void select_and_check(PrepareProblem& p, const PsaParams& params, double sharpness = 1.0,
                        bool portable = false) {
    SelectBlocksArgs args = select_args(p, params);
    args.scale *= sharpness;
    select(args, portable);
    const auto importance = bytes_of<float>(p.importance);
    const auto levels = bytes_of<std::uint8_t>(p.levels);
    expect_levels_follow_importance(p, params);
    select(args, portable);
    const auto again = bytes_of<float>(p.importance);
    EXPECT_EQ(0, std::memcmp(again.data(), importance.data(), again.size() * sizeof(float)));
    EXPECT_EQ(bytes_of<std::uint8_t>(p.levels), levels);
    SelectBlocksArgs bare = args;
    bare.importance = bare.order = bare.nominal_density = {};
    p.levels = on_device(DType::kU8, p.levels.shape());
    bare.levels = p.levels;
    select(bare, portable);
    EXPECT_EQ(bytes_of<std::uint8_t>(p.levels), levels);
  }

  // That of the rows as they are stored, and of the formulas.
  void expect_importance(PrepareProblem& p, ImportanceEstimator estimator) {
    const std::vector<float> importance = bytes_of<float>(p.importance);
    const std::size_t head_size = importance.size() / static_cast<std::size_t>(p.all_heads());
    for (std::int64_t head = 0; head < p.all_heads(); ++head) {
      const std::int64_t batch = head / p.size.heads, own = head % p.size.heads;
      const std::span<const float> found =
          std::span(importance).subspan(static_cast<std::size_t>(head) * head_size, head_size);
      expect_relative(found, importance_of_stored_rows(p, batch, own, estimator), 2e-4,
                      "stored rows");
      const reference::PsaProblem r = reference_problem(p, batch, own);
      const bool staggered = estimator == ImportanceEstimator::kStaggered;
      expect_relative(found,
                      staggered ? reference::staggered_importance(r, kSeed % 16 + head)
                                : reference::pooled_importance(r),
                      rounding_of_importance(), "reference");
    }
  }

  // Of a long sequence's only head, whose formulas would take minutes for all rows.
  void expect_importance_of_last_rows(PrepareProblem& p, ImportanceEstimator estimator) {
    const std::vector<double> truth =
        importance_of_stored_rows(p, 0, 0, estimator, p.query_blocks() - 2);
    const std::vector<float> importance = bytes_of<float>(p.importance);
    expect_relative(std::span(importance).last(truth.size()), truth, rounding_of_importance(),
                    "last rows");
  }

  // Rows of which the bits that fit words of 32 beside a block choose other blocks for some level.
  std::size_t rows_that_words_mix_up(PrepareProblem& p, const PsaParams& quota) {
    const std::vector<float> importance = bytes_of<float>(p.importance);
    const std::size_t blocks = static_cast<std::size_t>(p.key_blocks());
    const int block_bits = blocks <= 256 ? 8 : blocks <= 512 ? 9 : 10;
    const LevelEnds ends = allocation::quota_ends(p.key_blocks(), quota);
    std::size_t count = 0;
    for (std::size_t row = 0; row < importance.size(); row += blocks) {
      std::vector<std::uint32_t> distance;  // of a key from the largest
      for (std::size_t i = 0; i < blocks; ++i)
        distance.push_back(std::bit_cast<std::uint32_t>(importance[row + i]));
      const std::uint32_t most = *std::max_element(distance.begin(), distance.end());
      for (std::uint32_t& key : distance) key = most - key;
      const std::uint32_t range = *std::max_element(distance.begin(), distance.end());
      const auto sorted = [&](int lost_bits) {
        std::vector<std::size_t> order(blocks);
        std::iota(order.begin(), order.end(), std::size_t{0});
        std::stable_sort(order.begin(), order.end(), [&](std::size_t i, std::size_t j) {
          return distance[i] >> lost_bits < distance[j] >> lost_bits;
        });
        return order;
      };
      std::vector<std::size_t> by_words =
          sorted(block_bits - std::min(std::countl_zero(range), block_bits));
      std::vector<std::size_t> truly = sorted(0);
      count += std::any_of(ends.begin(), ends.end(), [&](std::int64_t end) {
        std::sort(by_words.begin(), by_words.begin() + end);
        std::sort(truly.begin(), truly.begin() + end);
        return !std::equal(truly.begin(), truly.begin() + end, by_words.begin());
      });
    }
    return count;
  }

  // What rounding keys and pooled queries to the type may do to a weight of these problems.
  double rounding_of_importance() const {
    return dtype() == DType::kBF16 ? 0.06 : dtype() == DType::kF16 ? 0.01 : 5e-5;
  }
};

}  // namespace psagen::kernels
