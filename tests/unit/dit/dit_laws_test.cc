// Laws of the transformer that need no other implementation.
#include "engine/dit/dit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/backend.h"
#include "tests/support/formula_weights.h"
#include "tests/support/golden_fixture.h"

namespace psagen::engine {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using testing::FormulaSource;
using ::testing::Lt;

class DitLawsTest : public ::testing::Test {
 protected:
  static TransformerConfig config() {
    TransformerConfig config;
    config.num_attention_heads = 2;
    config.attention_head_dim = 64;
    config.in_channels = 4;
    config.out_channels = 4;
    config.text_dim = 12;
    config.ffn_dim = 96;
    config.freq_dim = 32;
    config.num_layers = 2;
    return config;
  }

  static std::map<std::string, Shape> shapes() {
    const TransformerConfig c = config();
    const std::int64_t dim = c.dim();
    std::map<std::string, Shape> shapes = {
        {"patch_embedding.weight", {dim, c.in_channels, 1, 2, 2}},
        {"patch_embedding.bias", {dim}},
        {"scale_shift_table", {1, 2, dim}}};
    const auto linear = [&shapes](const std::string& name, std::int64_t out, std::int64_t in) {
      shapes[name + ".weight"] = {out, in};
      shapes[name + ".bias"] = {out};
    };
    linear("condition_embedder.text_embedder.linear_1", dim, c.text_dim);
    linear("condition_embedder.text_embedder.linear_2", dim, dim);
    linear("condition_embedder.time_embedder.linear_1", dim, c.freq_dim);
    linear("condition_embedder.time_embedder.linear_2", dim, dim);
    linear("condition_embedder.time_proj", 6 * dim, dim);
    linear("proj_out", 4 * c.out_channels, dim);
    for (std::int64_t n = 0; n < c.num_layers; ++n) {
      const std::string block = concat("blocks.", n, ".");
      shapes[block + "scale_shift_table"] = {1, 6, dim};
      shapes[block + "norm2.weight"] = {dim};
      shapes[block + "norm2.bias"] = {dim};
      for (const char* attention : {"attn1.", "attn2."}) {
        for (const char* which : {"to_q", "to_k", "to_v", "to_out.0"})
          linear(block + attention + which, dim, dim);
        shapes[block + attention + "norm_q.weight"] = {dim};
        shapes[block + attention + "norm_k.weight"] = {dim};
      }
      linear(block + "ffn.net.0.proj", c.ffn_dim, dim);
      linear(block + "ffn.net.2", dim, c.ffn_dim);
    }
    return shapes;
  }

  Tensor formula_tensor(const std::string& name, const Shape& shape) {
    return testing::tensor_of(context_.allocator(), shape, testing::formula_values(name, shape));
  }

  std::vector<float> velocity(const TextContext& text, const AttentionConfig& attention,
                              const StepPosition& position = {}) {
    DitActivations activations(*ops_, config(), kLatent, attention);
    Tensor out(context_.allocator(), DType::kF32, kLatent);
    dit_.forward(*ops_, formula_tensor("x", kLatent), 750.0, position, text, activations, out);
    sparse_layers_ = activations.density.sparse().front();
    nominal_ = {};
    for (std::int64_t layer = 0; layer < std::ssize(sparse_layers_); ++layer)
      if (sparse_layers_[static_cast<std::size_t>(layer)] != 0)
        for (std::int64_t head = 0; head < config().num_attention_heads; ++head)
          nominal_.push_back(activations.density.values()
                                 .data<float>()[layer * 2 * config().num_attention_heads + head]);
    const std::span<const float> values = testing::floats_of(out);
    return {values.begin(), values.end()};
  }

  // 3 x 9 x 7 = 189 tokens: one whole block of 128 and a part-filled one.
  const Shape kLatent = {1, 4, 3, 18, 14};
  Context context_;
  std::unique_ptr<kernels::Ops> ops_ = kernels::make_ops(context_);
  Weights weights_{std::make_shared<FormulaSource>(shapes()), context_};
  Dit dit_{config(), weights_, *ops_};
  // Of the last velocity().
  std::vector<std::uint8_t> sparse_layers_;
  std::vector<float> nominal_;  // of the sparse layers, head by head
};

AttentionConfig full_resolution(bool reorder) {
  AttentionConfig config;
  config.kind = AttentionKind::kPyramid;
  config.psa.level_bounds = {1.0, 1.0, 1.0, 1.0};
  config.reorder_tokens = reorder;
  return config;
}

// Every block at level 1 is dense attention, and a permutation of the tokens that is undone at the
// end, carried by the rotary tables, changes nothing but the order of sums.
TEST_F(DitLawsTest, PyramidAtFullResolutionIsDense) {
  const TextContext text = dit_.encode_text(*ops_, formula_tensor("ctx", {1, 5, 12}), 16);
  const std::vector<float> dense = velocity(text, {});
  EXPECT_THAT(sparse_layers_, ElementsAre(0, 0));
  for (const bool reorder : {false, true}) {
    const std::vector<float> pyramid = velocity(text, full_resolution(reorder));
    EXPECT_THAT(sparse_layers_, ElementsAre(1, 1));
    EXPECT_THAT(nominal_, ElementsAre(1.0f, 1.0f, 1.0f, 1.0f));
    EXPECT_LE(testing::relative_l2(pyramid, dense), 2e-6) << "reorder_tokens " << reorder;
  }
}

// Dense warm-up steps run on permuted tokens too.
TEST_F(DitLawsTest, WarmupStepIsDense) {
  const TextContext text = dit_.encode_text(*ops_, formula_tensor("ctx", {1, 5, 12}), 16);
  AttentionConfig config = full_resolution(true);
  config.psa.level_bounds = {0.1, 0.1, 0.1, 0.6};
  config.warmup_steps = 1;
  const std::vector<float> dense = velocity(text, {});
  const std::vector<float> warm = velocity(text, config, {.step = 0, .num_steps = 4});
  EXPECT_THAT(sparse_layers_, ElementsAre(0, 0));
  EXPECT_LE(testing::relative_l2(warm, dense), 2e-6);
  const std::vector<float> sparse = velocity(text, config, {.step = 1, .num_steps = 4});
  EXPECT_THAT(sparse_layers_, ElementsAre(1, 1));
  EXPECT_EQ(nominal_.size(), 4u);
  EXPECT_THAT(nominal_, Each(Lt(1.0f)));
  EXPECT_GT(testing::relative_l2(sparse, dense), 1e-4);
}

AttentionConfig coarse() {
  AttentionConfig config = full_resolution(true);
  config.psa.level_bounds = {0.1, 0.1, 0.1, 0.6};
  return config;
}

TEST_F(DitLawsTest, OverridesByLayerAndHead) {
  const TextContext text = dit_.encode_text(*ops_, formula_tensor("ctx", {1, 5, 12}), 16);
  AttentionConfig config = coarse();
  config.overrides = {{.layers = {{0, 0}}}, {.layers = {{1, 1}}, .heads = {{1, 1}}}};
  velocity(text, config);
  EXPECT_THAT(sparse_layers_, ElementsAre(0, 1));
  ASSERT_EQ(nominal_.size(), 2u);
  EXPECT_LT(nominal_[0], 1.0f);
  EXPECT_EQ(nominal_[1], 1.0f) << "a dense head";
  config.overrides = {{.heads = {{0, 1}}}};
  const std::vector<float> all = velocity(text, config);
  EXPECT_THAT(sparse_layers_, ElementsAre(0, 0));
  EXPECT_LE(testing::relative_l2(all, velocity(text, {})), 2e-6);
}

// A second forward with the same input makes the same levels by itself: reusing the first one's
// must change nothing, densities included; with another input it does.
TEST_F(DitLawsTest, ReusedLevelsAreThoseOfTheFirstForward) {
  const TextContext text = dit_.encode_text(*ops_, formula_tensor("ctx", {1, 5, 12}), 16);
  const auto second = [&](const AttentionConfig& attention, const std::string& latent) {
    DitActivations activations(*ops_, config(), kLatent, attention, 2);
    Tensor out(context_.allocator(), DType::kF32, kLatent);
    for (const std::int64_t forward : {0, 1}) {
      activations.density.begin_forward(forward);
      dit_.forward(*ops_, formula_tensor(forward == 0 ? "x" : latent, kLatent), 750.0,
                   {.forward = forward, .num_forwards = 2}, text, activations, out);
    }
    const float* density = activations.density.values().data<float>();
    const std::int64_t heads = config().num_layers * 2 * config().num_attention_heads;
    EXPECT_TRUE(latent != "x" || std::equal(density, density + heads, density + heads));
    const std::span<const float> values = testing::floats_of(out);
    return std::vector<float>(values.begin(), values.end());
  };
  AttentionConfig reused = coarse();
  reused.psa.key_block = 32;  // six blocks, so that rows differ
  AttentionConfig chosen = reused;
  reused.reuse_across_guidance = true;
  EXPECT_EQ(second(reused, "x"), second(chosen, "x"));
  EXPECT_NE(second(reused, "other"), second(chosen, "other"));
}

// Rows of zeros given one by one, or as the one key that stands for them all.
TEST_F(DitLawsTest, PaddingRowsAreOneKeyThatCountsForAll) {
  std::vector<float> rows = testing::formula_values("ctx", {1, 5, 12});
  const Tensor few = testing::tensor_of(context_.allocator(), {1, 5, 12}, rows);
  rows.resize(40 * 12);
  const Tensor all = testing::tensor_of(context_.allocator(), {1, 40, 12}, rows);
  const TextContext merged = dit_.encode_text(*ops_, few, 40);
  EXPECT_EQ(merged.key_log_weight.shape(), Shape({1, 6}));
  const TextContext separate = dit_.encode_text(*ops_, all, 40);
  EXPECT_EQ(separate.layers.front().k.shape(), Shape({1, 40, config().dim()}));
  EXPECT_FALSE(ConstTensorView(separate.key_log_weight)) << "every row counts once";
  const std::vector<float> wanted = velocity(separate, {});
  EXPECT_LE(testing::relative_l2(velocity(merged, {}), wanted), 1e-6);
  const TextContext unpadded = dit_.encode_text(*ops_, few, 5);
  EXPECT_GT(testing::relative_l2(velocity(unpadded, {}), wanted), 1e-3)
      << "the padding rows carry no weight, so this test shows nothing";
}

TEST_F(DitLawsTest, ForwardAllocatesNothing) {
  const TextContext text = dit_.encode_text(*ops_, formula_tensor("ctx", {1, 5, 12}), 16);
  const Tensor latent = formula_tensor("x", kLatent);
  Allocator& allocator = context_.allocator();
  AttentionConfig reused = coarse();
  reused.reuse_steps = 2;
  for (const AttentionConfig& attention : {AttentionConfig(), full_resolution(true), reused}) {
    DitActivations activations(*ops_, config(), kLatent, attention);
    Tensor out(allocator, DType::kF32, kLatent);
    const auto forward = [&] { dit_.forward(*ops_, latent, 750.0, {}, text, activations, out); };
    forward();  // the workspace grows to what it needs
    // With memory filled up to its peak, any allocation would raise the peak.
    const std::int64_t gap =
        static_cast<std::int64_t>(allocator.peak_bytes() - allocator.bytes_in_use());
    const Tensor filler(allocator, DType::kU8, {gap});
    const std::size_t peak = allocator.peak_bytes();
    ASSERT_EQ(allocator.bytes_in_use(), peak);
    forward();
    EXPECT_EQ(allocator.peak_bytes(), peak);
    EXPECT_EQ(allocator.bytes_in_use(), peak);
    { const Tensor probe(allocator, DType::kU8, {1}); }
    EXPECT_GT(allocator.peak_bytes(), peak) << "an allocation would not be noticed";
  }
}

TEST_F(DitLawsTest, FeedForwardInSlicesIsTheSame) {
  const TextContext text = dit_.encode_text(*ops_, formula_tensor("ctx", {1, 5, 12}), 16);
  DitActivations activations(*ops_, config(), kLatent, {});
  activations.hidden = activations.hidden.slice(1, 0, 50);
  Tensor out(context_.allocator(), DType::kF32, kLatent);
  dit_.forward(*ops_, formula_tensor("x", kLatent), 750.0, {}, text, activations, out);
  EXPECT_LE(testing::relative_l2(testing::floats_of(out), velocity(text, {})), 1e-6);
}

TEST_F(DitLawsTest, NamesAMissingTensor) {
  std::map<std::string, Shape> incomplete = shapes();
  incomplete.erase("blocks.1.attn2.norm_k.weight");
  const Weights weights(std::make_shared<FormulaSource>(incomplete), context_);
  try {
    const Dit dit(config(), weights, *ops_);
    FAIL() << "built without one of its tensors";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_THAT(error.message(), ::testing::HasSubstr("blocks.1.attn2.norm_k.weight"));
  }
}

TEST_F(DitLawsTest, RefusesAnotherPatchSize) {
  TransformerConfig other = config();
  other.patch_size = {1, 1, 1};
  EXPECT_THROW(Dit(other, weights_, *ops_), Error);
}

TEST_F(DitLawsTest, OnlyTheStrayNormOfImageQueriesIsIgnored) {
  auto with_stray = shapes();
  with_stray["blocks.1.attn2.norm_added_q.weight"] = {config().dim()};
  const Weights tolerated(std::make_shared<FormulaSource>(with_stray, DType::kF32), context_);
  const Dit with_norm(config(), tolerated, *ops_);
  EXPECT_NO_THROW(tolerated.expect_all_read());

  with_stray["blocks.1.attn2.norm_added_k.weight"] = {config().dim()};
  const Weights refused(std::make_shared<FormulaSource>(with_stray, DType::kF32), context_);
  const Dit with_keys(config(), refused, *ops_);
  EXPECT_THROW(refused.expect_all_read(), Error);
}

}  // namespace
}  // namespace psagen::engine
