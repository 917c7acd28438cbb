#include "engine/config/automatic_attention.h"

#include <gmock/gmock.h>

#include "kernels/core/error.h"

namespace psagen::engine {
namespace {

using ::testing::HasSubstr;

std::string described(const std::string& spec, std::int64_t num_tokens) {
  return describe_attention(resolve_attention(spec, num_tokens), spec, num_tokens);
}

TEST(AutomaticAttention, IsSparseFromACertainLengthOn) {
  EXPECT_EQ(resolve_attention("auto", kSparseFromTokens - 1).spec, "dense");
  EXPECT_EQ(resolve_attention("auto", kSparseFromTokens).spec, "psa:balanced");
  EXPECT_EQ(resolve_attention("psa", 1).spec, "psa");
  EXPECT_EQ(resolve_attention("dense", 1'000'000).spec, "dense");
}

TEST(AutomaticAttention, SaysWhy) {
  EXPECT_EQ(described("auto", 100'000),
            concat("psa:balanced (auto: 100000 tokens, sparse is faster "
                   "from ",
                   kSparseFromTokens, " on)"));
  EXPECT_THAT(described("auto", 60), HasSubstr("dense (auto: 60 tokens"));
  EXPECT_EQ(described("dense", 60), "dense");
  EXPECT_EQ(described("psa:fast", 100'000), "psa:fast");
  EXPECT_EQ(described("psa:fast", 60),
            concat("psa:fast (60 tokens; auto is dense below ", kSparseFromTokens, ")"));
}

TEST(AutomaticAttention, IsDenseWhereSparseIsSlower) {
  ContextOptions gpu;
  gpu.device = {DeviceKind::kCuda, 0};
  const auto says = [&gpu](const std::string& spec) {
    return describe_attention(resolve_attention(spec, 100'000, gpu), spec, 100'000, gpu);
  };
  gpu.compute_dtype = DType::kF32;
  EXPECT_EQ(says("auto"), "dense (auto: sparse is slower with float32 on a GPU)");
  EXPECT_EQ(says("psa:fast"), "psa:fast (slower than dense: float32 on a GPU)");
  EXPECT_EQ(says("dense"), "dense");
  gpu.compute_dtype = DType::kBF16;
  EXPECT_EQ(resolve_attention("auto", 100'000, gpu).spec, "psa:balanced");
  EXPECT_EQ(says("psa:fast"), "psa:fast");
  EXPECT_THAT(says("psa:wan2.1-1.3b-balanced"), HasSubstr("slower than dense: the official"));
  AttentionConfig small_blocks = parse_attention("psa");
  small_blocks.psa.query_block = 64;
  EXPECT_EQ(why_slow(small_blocks, gpu), "query blocks of 64 on a GPU");
  EXPECT_EQ(resolve_attention("auto", 100'000).spec, "psa:balanced") << "float32 on the CPU";
}

TEST(AutomaticAttention, IsAmongTheNamesThatAnErrorLists) {
  try {
    resolve_attention("atuo", 60);
    FAIL() << "took a name that there is not";
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), HasSubstr("did you mean \"auto\""));
  }
}

}  // namespace
}  // namespace psagen::engine
