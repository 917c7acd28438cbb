// Initial noise against torch.randn with a seeded CPU generator.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/pipeline/initial_noise.h"
#include "tests/support/golden_fixture.h"

namespace psagen::engine {
namespace {

using testing::GoldenFixture;
using testing::Json;

// torch's vectorised logarithm and sines differ from the C library's by this much at most.
constexpr float kMaxDifference = 2e-6f;

std::vector<float> draw(TorchCpuGenerator& generator, std::size_t size) {
  std::vector<float> values(size);
  generator.normal(values);
  return values;
}

TEST(InitialNoiseTest, WordsAreThoseOfTorch) {
  const GoldenFixture golden("noise");
  for (const Json& seed : golden.json().at("seeds")) {
    TorchCpuGenerator generator(seed.get<std::uint64_t>());
    const auto wanted = golden.values<std::int32_t>(concat("words_", seed.get<std::uint64_t>()));
    ASSERT_GT(wanted.size(), 1248u) << "fewer words than two rounds of the generator's state";
    for (std::size_t i = 0; i < wanted.size(); ++i)
      ASSERT_EQ(generator.random(), static_cast<std::uint32_t>(wanted[i]))
          << "seed " << seed << ", word " << i;
  }
}

TEST(InitialNoiseTest, NormalValuesAreThoseOfTorch) {
  const GoldenFixture golden("noise");
  for (const Json& seed : golden.json().at("seeds")) {
    for (const Json& size : golden.json().at("sizes")) {
      const std::string name = concat("normal_", seed.get<std::uint64_t>(), "_", size.get<int>());
      TorchCpuGenerator generator(seed.get<std::uint64_t>());
      const std::vector<float> found = draw(generator, size.get<std::size_t>());
      EXPECT_THAT(found, ::testing::Pointwise(::testing::FloatNear(kMaxDifference),
                                              golden.values<float>(name)))
          << name;
    }
  }
}

// Below 16 values torch keeps the second of a pair for the next call.
TEST(InitialNoiseTest, CallsFollowEachOtherAsInTorch) {
  const GoldenFixture golden("noise");
  for (const Json& seed : golden.json().at("seeds")) {
    const std::string name = concat("normal_", seed.get<std::uint64_t>(), "_3_16_1_20_4");
    TorchCpuGenerator generator(seed.get<std::uint64_t>());
    std::vector<float> found;
    for (const std::size_t size : {3, 16, 1, 20, 4}) {
      const std::vector<float> values = draw(generator, size);
      found.insert(found.end(), values.begin(), values.end());
    }
    EXPECT_THAT(found, ::testing::Pointwise(::testing::FloatNear(kMaxDifference),
                                            golden.values<float>(name)))
        << name;
  }
}

}  // namespace
}  // namespace psagen::engine
