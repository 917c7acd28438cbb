// What the CUDA back end does differently on its way from importance to levels, on the host: it
// sorts by the bits of the weights, stably, and takes the running sum in turns of 32, stopping once
// the last bound is passed. The levels must be those of allocate_levels, bit for bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/psa/allocation_rule.h"
#include "kernels/psa/level_allocation.h"

namespace psagen::kernels {
namespace {

using Levels = std::vector<std::uint8_t>;

Levels host_levels(const std::vector<float>& importance, const Levels& caps,
                   const PsaParams& params) {
  const std::size_t blocks = importance.size();
  std::vector<std::int32_t> order(blocks);
  std::vector<double> weight(blocks), cumulative(blocks);
  Levels levels(blocks, 99);
  allocate_levels(importance, caps, params, {order, weight, cumulative}, levels);
  return levels;
}

LevelEnds ends_in_turns(const std::vector<float>& sorted, const PsaParams& params) {
  const std::int64_t blocks = std::ssize(sorted);
  double total = 0.0;
  for (const float weight : sorted) total += static_cast<double>(weight);
  std::array<std::int64_t, 4> within{};
  double sum = 0.0;
  for (std::int64_t first = 0; first < blocks; first += 32) {
    std::int64_t added = 0;
    std::array<double, 32> own{};
    const std::int64_t count = std::min<std::int64_t>(32, blocks - first);
    for (std::int64_t i = 0; i < count; ++i)
      own[static_cast<std::size_t>(i)] = sum +=
          static_cast<double>(sorted[static_cast<std::size_t>(first + i)]);
    for (std::size_t bound = 0; bound < 4; ++bound) {
      added = 0;
      for (std::int64_t i = 0; i < count; ++i)
        added += allocation::cumulative_share(own[static_cast<std::size_t>(i)], total, first + i,
                                              blocks) <= allocation::threshold_bound(params, bound)
                     ? 1
                     : 0;
      within[bound] += added;
    }
    if (added < 32) break;
  }
  return allocation::threshold_ends(within, blocks, params);
}

Levels device_levels(const std::vector<float>& importance, const Levels& caps,
                     const PsaParams& params) {
  const bool infinite = std::any_of(importance.begin(), importance.end(), allocation::is_infinite);
  std::vector<std::uint32_t> keys;
  for (const float value : importance)
    keys.push_back(allocation::sort_key(allocation::weight_of(value, infinite)));
  for (const std::uint32_t key : keys) EXPECT_EQ(key >> 31, 0u) << "the sort looks at 31 bits";
  std::vector<std::int32_t> order(keys.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    return keys[static_cast<std::size_t>(a)] > keys[static_cast<std::size_t>(b)];
  });
  std::vector<float> sorted;
  for (const std::int32_t j : order)
    sorted.push_back(std::bit_cast<float>(keys[static_cast<std::size_t>(j)]));
  const LevelEnds ends = params.selection == LevelSelection::kQuota
                             ? allocation::quota_ends(std::ssize(keys), params)
                             : ends_in_turns(sorted, params);
  Levels levels(keys.size(), 99);
  for (std::size_t position = 0; position < keys.size(); ++position) {
    const std::size_t j = static_cast<std::size_t>(order[position]);
    levels[j] = allocation::level_at(static_cast<std::int64_t>(position), ends,
                                     caps.empty() ? std::uint8_t{8} : caps[j]);
  }
  return levels;
}

// Rows of every kind that a softmax or its failure may give.
class Rows {
 public:
  explicit Rows(std::uint64_t seed) : random_(seed) {}

  std::vector<float> next() {
    // Few blocks as often as many.
    const std::size_t blocks =
        static_cast<std::size_t>(std::min(2400.0, std::exp2(uniform() * 11.3)));
    std::vector<float> row(std::max<std::size_t>(blocks, 1));
    const double steepness = 20.0 * uniform();
    for (float& value : row) value = static_cast<float>(std::exp2(-steepness * uniform()));
    switch (random_() % 8) {
      case 0:  // ties
        for (float& value : row) value = static_cast<float>(random_() % 4) / 4.0f;
        break;
      case 1:
        std::fill(row.begin(), row.end(), 0.25f);
        break;
      case 2:
        std::fill(row.begin(), row.end(), 0.0f);
        break;
      case 3:  // what is neither a weight nor a number
        spoil(row, {std::numeric_limits<float>::quiet_NaN(), -1.0f, -0.0f,
                    -std::numeric_limits<float>::infinity()});
        break;
      case 4:
        spoil(row,
              {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()});
        break;
      case 5:
        spoil(row, {1e-40f, 1e-45f, 3e38f, 0.0f});
        break;
      default:
        break;
    }
    return row;
  }

  Levels caps(std::size_t blocks) {
    if (random_() % 2 == 0) return {};
    Levels caps(blocks);
    for (std::uint8_t& cap : caps) cap = static_cast<std::uint8_t>(1 << random_() % 4);
    return caps;
  }

  PsaParams params() {
    PsaParams params;
    params.selection = random_() % 2 == 0 ? LevelSelection::kQuota : LevelSelection::kThreshold;
    for (double& bound : params.level_bounds) bound = uniform();
    // Bounds that are met exactly: shares of equal weights, all of a row.
    if (random_() % 4 == 0) params.level_bounds = {0.25, 0.5, 0.75, 1.0};
    std::sort(params.level_bounds.begin(), params.level_bounds.end());
    params.min_full_ratio = random_() % 2 == 0 ? 0.0 : 0.1 * uniform();
    return params;
  }

 private:
  double uniform() { return std::uniform_real_distribution<double>()(random_); }
  void spoil(std::vector<float>& row, std::vector<float> values) {
    for (float& value : row)
      if (random_() % 3 == 0) value = values[random_() % values.size()];
  }

  std::mt19937_64 random_;
};

TEST(DeviceAllocation, TenThousandRowsAreTheHosts) {
  Rows rows(17);
  std::array<int, 9> seen{};
  for (int i = 0; i < 10'000; ++i) {
    const std::vector<float> row = rows.next();
    const Levels caps = rows.caps(row.size());
    const PsaParams params = rows.params();
    const Levels wanted = host_levels(row, caps, params);
    ASSERT_EQ(device_levels(row, caps, params), wanted)
        << "row " << i << " of " << row.size() << " blocks";
    for (const std::uint8_t level : wanted) ++seen[level];
  }
  for (const int level : {0, 1, 2, 4, 8}) EXPECT_GT(seen[static_cast<std::size_t>(level)], 1000);
}

}  // namespace
}  // namespace psagen::kernels
