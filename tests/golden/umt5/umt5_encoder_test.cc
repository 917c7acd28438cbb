// UMT5 against Hugging Face transformers and against the table of spec/wan 10.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/text/umt5_encoder.h"
#include "kernels/backend.h"
#include "tests/support/formula_weights.h"
#include "tests/support/golden_fixture.h"

namespace psagen::engine {
namespace {

using testing::FormulaSource;
using testing::GoldenFixture;
using testing::Json;

constexpr double kMaxRelativeL2 = 1e-5;

class Umt5EncoderTest : public ::testing::Test {
 protected:
  Umt5Encoder encoder(const Json& model, DType dtype) {
    const auto source =
        std::make_shared<FormulaSource>(testing::shapes_from(model.at("tensors")), dtype);
    const Weights weights(source, context_);
    Umt5Encoder encoder(testing::text_encoder_config_from(model.at("config")), weights, *ops_);
    weights.expect_all_read();
    return encoder;
  }

  Context context_;
  std::unique_ptr<kernels::Ops> ops_ = kernels::make_ops(context_);
  GoldenFixture golden_{"umt5"};
};

TEST_F(Umt5EncoderTest, AgreesWithTransformers) {
  for (const Json& golden_case : golden_.json().at("cases")) {
    const std::string label = golden_case.at("label");
    const DType dtype = golden_case.at("bfloat16") ? DType::kBF16 : DType::kF32;
    const Umt5Encoder model =
        encoder(golden_.json().at("models").at(golden_case.at("model")), dtype);
    const std::vector<std::vector<std::int32_t>> prompts = {golden_case.at("ids")};
    const std::vector<Tensor> encoded = model.encode(*ops_, prompts);
    const double error =
        testing::relative_l2(testing::floats_of(encoded[0]), golden_.values<float>(label));
    RecordProperty(label, concat(error));
    EXPECT_LE(error, kMaxRelativeL2) << label;
  }
}

TEST_F(Umt5EncoderTest, PromptsDoNotInfluenceEachOther) {
  const Umt5Encoder model = encoder(golden_.json().at("models").at("wide"), DType::kF32);
  const std::vector<std::vector<std::int32_t>> prompts = {{3, 10, 17, 1}, {1}, {5, 9, 2, 33, 8, 1}};
  const std::vector<Tensor> together = model.encode(*ops_, prompts);
  ASSERT_EQ(together.size(), prompts.size());
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const std::vector<Tensor> alone = model.encode(*ops_, std::span(prompts).subspan(i, 1));
    EXPECT_LE(testing::relative_l2(testing::floats_of(together[i]), testing::floats_of(alone[0])),
              1e-6)
        << "prompt " << i;
  }
}

TEST_F(Umt5EncoderTest, TellsEveryLayer) {
  const Umt5Encoder model = encoder(golden_.json().at("models").at("wide"), DType::kF32);
  std::vector<std::int64_t> done;
  const std::vector<std::vector<std::int32_t>> prompts = {{3, 1}};
  model.encode(*ops_, prompts, [&done](std::int64_t layer, std::int64_t total, ConstTensorView) {
    EXPECT_EQ(total, 3);
    done.push_back(layer);
  });
  EXPECT_THAT(done, ::testing::ElementsAre(1, 2, 3));
}

// Published files hold the table as shared.weight, as encoder.embed_tokens.weight, or both.
TEST_F(Umt5EncoderTest, TakesTheTokenTableUnderEitherName) {
  const Json& model = golden_.json().at("models").at("spec");
  const TextEncoderConfig config = testing::text_encoder_config_from(model.at("config"));
  std::map<std::string, Shape> both = testing::shapes_from(model.at("tensors"));
  both["encoder.embed_tokens.weight"] = both.at("shared.weight");
  std::map<std::string, Shape> tied = both;
  tied.erase("shared.weight");
  for (const std::map<std::string, Shape>& shapes : {both, tied}) {
    const Weights weights(std::make_shared<FormulaSource>(shapes), context_);
    const Umt5Encoder encoder(config, weights, *ops_);
    EXPECT_NO_THROW(weights.expect_all_read());
  }
  std::map<std::string, Shape> neither = tied;
  neither.erase("encoder.embed_tokens.weight");
  const Weights weights(std::make_shared<FormulaSource>(neither), context_);
  EXPECT_THROW(Umt5Encoder(config, weights, *ops_), Error);
}

TEST_F(Umt5EncoderTest, RefusesIdsOutsideTheVocabulary) {
  const Umt5Encoder model = encoder(golden_.json().at("models").at("spec"), DType::kF32);
  const std::vector<std::vector<std::int32_t>> prompts = {{3, 64, 1}};
  try {
    model.encode(*ops_, prompts);
    FAIL() << "id 64 of 64 was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.message(), ::testing::HasSubstr("token id 64"));
  }
}

TEST(RelativeBucketsTest, AgreeWithTransformers) {
  const GoldenFixture golden("umt5");
  const auto wanted = golden.values<std::int32_t>("buckets_of_minus_600_to_600");
  const RelativeBuckets buckets(32, 128);
  for (std::int64_t r = -600; r <= 600; ++r)
    ASSERT_EQ(buckets(r), wanted[static_cast<std::size_t>(r + 600)]) << "relative position " << r;
}

// spec/wan 2.3's thresholds, in both directions.
TEST(RelativeBucketsTest, WidenAtTheDocumentedDistances) {
  const RelativeBuckets buckets(32, 128);
  const std::vector<std::int64_t> starts = {8, 12, 16, 23, 32, 46, 64, 91};
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const std::int64_t bucket = 8 + static_cast<std::int64_t>(i);
    EXPECT_EQ(buckets(-starts[i]), bucket);
    EXPECT_EQ(buckets(-starts[i] + 1), bucket - 1);
    EXPECT_EQ(buckets(starts[i]), bucket + 16);
  }
  EXPECT_EQ(buckets(0), 0);
  EXPECT_EQ(buckets(1), 17);
  EXPECT_EQ(buckets(-100000), 15);
  EXPECT_EQ(buckets(100000), 31);
}

TEST(RelativeBucketsTest, RefuseSizesThatMakeNoBuckets) {
  EXPECT_THROW(RelativeBuckets(31, 128), Error);
  EXPECT_THROW(RelativeBuckets(2, 128), Error);
  EXPECT_THROW(RelativeBuckets(32, 8), Error);
}

}  // namespace
}  // namespace psagen::engine
