#include "engine/inspect/attention_mass.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "engine/inspect/block_map.h"
#include "tests/unit/inspect/random_attention.h"

namespace psagen::engine {
namespace {

using testing::RandomAttention;

// The definition, in double.
std::vector<double> mass_by_definition(const RandomAttention& attention, std::int64_t head,
                                       int query_block, int key_block) {
  constexpr std::int64_t kTokens = RandomAttention::kTokens;
  const std::int64_t key_blocks = (kTokens + key_block - 1) / key_block;
  const std::int64_t query_blocks = (kTokens + query_block - 1) / query_block;
  std::vector<double> mass(static_cast<std::size_t>(query_blocks * key_blocks), 0.0);
  std::vector<double> weights(kTokens);
  for (std::int64_t t = 0; t < kTokens; ++t) {
    double total = 0.0;
    for (std::int64_t u = 0; u < kTokens; ++u) {
      double score = 0.0;
      for (std::int64_t d = 0; d < RandomAttention::kDepth; ++d)
        score += attention.value(0, t, head, d) * attention.value(1, u, head, d);
      total += weights[static_cast<std::size_t>(u)] = std::exp(RandomAttention::kScale * score);
    }
    for (std::int64_t u = 0; u < kTokens; ++u)
      mass[static_cast<std::size_t>(t / query_block * key_blocks + u / key_block)] +=
          weights[static_cast<std::size_t>(u)] / total / kTokens;
  }
  return mass;
}

class AttentionMass : public ::testing::TestWithParam<bool> {};

// Tails on both sides, and more key blocks than the head has channels: 300 tokens in blocks of 17
// are 18, of which 16 go into a pass.
TEST_P(AttentionMass, IsThatOfTheDefinition) {
  RandomAttention attention(GetParam());
  for (const std::int64_t head : {0, 1}) {
    const std::vector<double> mass =
        attention_mass(attention.ops(), attention.inputs(), head, 128, 17);
    const std::vector<double> wanted = mass_by_definition(attention, head, 128, 17);
    ASSERT_EQ(mass.size(), 3u * 18u);
    for (std::size_t i = 0; i < mass.size(); ++i) EXPECT_NEAR(mass[i], wanted[i], 1e-7) << i;
    EXPECT_NEAR(std::accumulate(mass.begin(), mass.end(), 0.0), 1.0, 1e-12);
  }
}

INSTANTIATE_TEST_SUITE_P(OnCpuAndDevice, AttentionMass, ::testing::Bool());

TEST(LevelShares, SumToOne) {
  BlockMap map = {.query_block = 128,
                  .key_block = 64,
                  .query_blocks = 2,
                  .key_blocks = 3,
                  .levels = {1, 2, 4, 8, 0, 0},
                  .mass = {0.3, 0.2, 0.1, 0.05, 0.15, 0.2}};
  const auto shares = level_shares(map);
  const int levels[] = {1, 2, 4, 8, 0};
  const double blocks[] = {1.0 / 6, 1.0 / 6, 1.0 / 6, 1.0 / 6, 2.0 / 6};
  const double mass[] = {0.3, 0.2, 0.1, 0.05, 0.35};
  double all_blocks = 0.0, all_mass = 0.0;
  for (std::size_t i = 0; i < shares.size(); ++i) {
    EXPECT_EQ(shares[i].level, levels[i]);
    EXPECT_NEAR(shares[i].blocks, blocks[i], 1e-12);
    EXPECT_NEAR(shares[i].mass, mass[i], 1e-12);
    all_blocks += shares[i].blocks;
    all_mass += shares[i].mass;
  }
  EXPECT_NEAR(all_blocks, 1.0, 1e-12);
  EXPECT_NEAR(all_mass, 1.0, 1e-12);
}

}  // namespace
}  // namespace psagen::engine
