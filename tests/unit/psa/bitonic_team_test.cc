// The sort of a row by a warp or a block of threads, run by threads of the host that stand for the
// GPU's: the order must be that of a stable sort, whatever the keys have in common.
#include "kernels/cuda/psa/bitonic_team.cuh"

#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <random>

#include "tests/support/cuda_threads/cuda_runtime.h"

namespace psagen::kernels::cuda {
namespace {

enum class Kind { kSpread, kSteep, kClose, kFewValues, kOneFar, kHalfZero, kCount };

struct Row {
  int count = 0;
  std::vector<std::uint32_t> keys;  // of all places, zeros past `count`
  std::vector<std::uint32_t> sorted_keys;
  std::vector<int> sorted_blocks;
};

Row random_row(int capacity, Kind kind, std::mt19937& random) {
  std::uniform_real_distribution<float> unit(0.0f, 1.0f);
  Row row;
  row.count =
      unit(random) < 0.3f ? capacity : std::uniform_int_distribution<int>(1, capacity)(random);
  row.keys.resize(static_cast<std::size_t>(capacity));
  row.sorted_keys = row.keys;
  row.sorted_blocks.resize(row.keys.size());
  for (int i = 0; i < row.count; ++i) {
    const float u = unit(random);
    float weight = u;
    if (kind == Kind::kSteep) weight = std::exp(-20.0f * u);
    if (kind == Kind::kClose) weight = 0.004f + 1e-6f * u;
    if (kind == Kind::kFewValues) weight = std::floor(4.0f * u) / 4.0f;
    if (kind == Kind::kOneFar) weight = i == row.count / 2 ? 1.0f : 1e-5f * (1.0f + 1e-5f * u);
    if (kind == Kind::kHalfZero) weight = u < 0.5f ? 0.0f : std::exp(-90.0f * u);
    row.keys[static_cast<std::size_t>(i)] = std::bit_cast<std::uint32_t>(weight);
  }
  return row;
}

template <typename Team>
void sort_rows(std::vector<Row>& rows) {
  std::vector<typename Team::Shared> shared(rows.size());
  testing::run_block(Team::kThreads * Team::kRowsOfBlock, [&] {
    const std::size_t team = static_cast<std::size_t>(Team::row());
    Row& row = rows[team];
    std::uint32_t keys[Team::kItems];
    std::uint16_t blocks[Team::kItems];
    for (int i = 0; i < Team::kItems; ++i) {
      blocks[i] = static_cast<std::uint16_t>(Team::block_of(i));
      keys[i] = row.keys[blocks[i]];
    }
    Team::sort(keys, blocks, row.count, shared[team]);
    for (int i = 0; i < Team::kItems; ++i) {
      const std::size_t at = static_cast<std::size_t>(Team::index() * Team::kItems + i);
      row.sorted_keys[at] = keys[i];
      row.sorted_blocks[at] = blocks[i];
    }
  });
}

template <typename Team>
class BitonicTeamTest : public ::testing::Test {};
using Teams = ::testing::Types<BitonicTeam<32>, BitonicTeam<64>, BitonicTeam<128>>;
TYPED_TEST_SUITE(BitonicTeamTest, Teams);

TYPED_TEST(BitonicTeamTest, SortsStably) {
  std::mt19937 random(5);
  for (int turn = 0; turn < 5; ++turn)
    for (int kind = 0; kind < static_cast<int>(Kind::kCount); ++kind) {
      std::vector<Row> rows;
      for (int i = 0; i < TypeParam::kRowsOfBlock; ++i)
        rows.push_back(random_row(TypeParam::kCapacity, static_cast<Kind>(kind), random));
      sort_rows<TypeParam>(rows);
      for (const Row& row : rows) {
        std::vector<int> order(row.keys.size());
        std::iota(order.begin(), order.end(), 0);
        const auto key = [&](int block) { return row.keys[static_cast<std::size_t>(block)]; };
        std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return key(a) > key(b); });
        ASSERT_EQ(row.sorted_blocks, order) << "kind " << kind << ", " << row.count << " blocks";
        for (std::size_t i = 0; i < order.size(); ++i)
          ASSERT_EQ(row.sorted_keys[i], key(order[i])) << "kind " << kind << ", position " << i;
      }
    }
}

}  // namespace
}  // namespace psagen::kernels::cuda
