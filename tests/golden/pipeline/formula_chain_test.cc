// The numbers of spec/wan 10: UMT5, text projection, DiT and the whole sampling chain on formula
// weights, as a second, independent implementation gave them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/dit/dit.h"
#include "engine/nn/linear.h"
#include "engine/pipeline/denoise_loop.h"
#include "engine/pipeline/guided_model.h"
#include "engine/pipeline/initial_noise.h"
#include "engine/text/umt5_encoder.h"
#include "kernels/backend.h"
#include "scheduler/solver.h"
#include "tests/support/formula_weights.h"
#include "tests/support/golden_fixture.h"

namespace psagen::engine {
namespace {

using testing::FormulaSource;

// The table has six decimals and its author's float32 and float64 runs agree to 5e-6.
constexpr double kTolerance = 1e-5;

struct TableRow {
  double mean, rms;
  std::vector<double> first, last_two;
};

void expect_row(ConstTensorView view, const TableRow& row, const std::string& label) {
  const std::span<const float> values = testing::floats_of(view);
  double sum = 0.0;
  double squares = 0.0;
  for (const float value : values) {
    sum += value;
    squares += static_cast<double>(value) * value;
  }
  const double count = static_cast<double>(values.size());
  EXPECT_NEAR(sum / count, row.mean, kTolerance) << label;
  EXPECT_NEAR(std::sqrt(squares / count), row.rms, kTolerance) << label;
  for (std::size_t i = 0; i < row.first.size(); ++i)
    EXPECT_NEAR(values[i], row.first[i], kTolerance) << label << ", value " << i;
  for (std::size_t i = 0; i < row.last_two.size(); ++i)
    EXPECT_NEAR(values[values.size() - 2 + i], row.last_two[i], kTolerance) << label << ", end";
}

void add_linear(std::map<std::string, Shape>& shapes, const std::string& name, std::int64_t out,
                std::int64_t in) {
  shapes[name + ".weight"] = {out, in};
  shapes[name + ".bias"] = {out};
}

TextEncoderConfig text_config() {
  TextEncoderConfig config;
  config.vocab_size = 64;
  config.d_model = 16;
  config.num_heads = 3;
  config.d_kv = 8;
  config.d_ff = 24;
  config.num_layers = 2;
  return config;
}

std::map<std::string, Shape> text_shapes(const TextEncoderConfig& c) {
  std::map<std::string, Shape> shapes = {{"shared.weight", {c.vocab_size, c.d_model}},
                                         {"encoder.final_layer_norm.weight", {c.d_model}}};
  const std::int64_t inner = c.num_heads * c.d_kv;
  for (std::int64_t n = 0; n < c.num_layers; ++n) {
    const std::string attention = concat("encoder.block.", n, ".layer.0.");
    const std::string ffn = concat("encoder.block.", n, ".layer.1.");
    shapes[attention + "layer_norm.weight"] = {c.d_model};
    for (const char* which : {"q", "k", "v"})
      shapes[attention + "SelfAttention." + which + ".weight"] = {inner, c.d_model};
    shapes[attention + "SelfAttention.o.weight"] = {c.d_model, inner};
    shapes[attention + "SelfAttention.relative_attention_bias.weight"] = {32, c.num_heads};
    shapes[ffn + "layer_norm.weight"] = {c.d_model};
    shapes[ffn + "DenseReluDense.wi_0.weight"] = {c.d_ff, c.d_model};
    shapes[ffn + "DenseReluDense.wi_1.weight"] = {c.d_ff, c.d_model};
    shapes[ffn + "DenseReluDense.wo.weight"] = {c.d_model, c.d_ff};
  }
  return shapes;
}

TransformerConfig dit_config() {
  TransformerConfig config;
  config.num_attention_heads = 2;
  config.attention_head_dim = 128;
  config.in_channels = 16;
  config.out_channels = 16;
  config.text_dim = 16;
  config.ffn_dim = 96;
  config.num_layers = 2;
  return config;
}

std::map<std::string, Shape> dit_shapes(const TransformerConfig& c) {
  const std::int64_t dim = c.dim();
  std::map<std::string, Shape> shapes = {{"patch_embedding.weight", {dim, c.in_channels, 1, 2, 2}},
                                         {"patch_embedding.bias", {dim}},
                                         {"scale_shift_table", {1, 2, dim}}};
  add_linear(shapes, "condition_embedder.text_embedder.linear_1", dim, c.text_dim);
  add_linear(shapes, "condition_embedder.text_embedder.linear_2", dim, dim);
  add_linear(shapes, "condition_embedder.time_embedder.linear_1", dim, c.freq_dim);
  add_linear(shapes, "condition_embedder.time_embedder.linear_2", dim, dim);
  add_linear(shapes, "condition_embedder.time_proj", 6 * dim, dim);
  add_linear(shapes, "proj_out", 4 * c.out_channels, dim);
  for (std::int64_t n = 0; n < c.num_layers; ++n) {
    const std::string block = concat("blocks.", n, ".");
    shapes[block + "scale_shift_table"] = {1, 6, dim};
    shapes[block + "norm2.weight"] = {dim};
    shapes[block + "norm2.bias"] = {dim};
    for (const char* attention : {"attn1.", "attn2."}) {
      for (const char* which : {"to_q", "to_k", "to_v", "to_out.0"})
        add_linear(shapes, block + attention + which, dim, dim);
      shapes[block + attention + "norm_q.weight"] = {dim};
      shapes[block + attention + "norm_k.weight"] = {dim};
    }
    add_linear(shapes, block + "ffn.net.0.proj", c.ffn_dim, dim);
    add_linear(shapes, block + "ffn.net.2", dim, c.ffn_dim);
  }
  return shapes;
}

class FormulaChainTest : public ::testing::Test {
 protected:
  Weights weights(const std::map<std::string, Shape>& shapes) {
    return Weights(std::make_shared<FormulaSource>(shapes), context_);
  }
  Tensor formula_tensor(const std::string& name, const Shape& shape) {
    return testing::tensor_of(context_.allocator(), shape, testing::formula_values(name, shape));
  }

  Context context_;
  std::unique_ptr<kernels::Ops> ops_ = kernels::make_ops(context_);
  Umt5Encoder encoder_{text_config(), weights(text_shapes(text_config())), *ops_};
  Dit dit_{dit_config(), weights(dit_shapes(dit_config())), *ops_};
};

TEST_F(FormulaChainTest, FillRule) {
  EXPECT_EQ(testing::formula_seed("x"), 0xfd0c5087u);
  const std::vector<float> x = testing::formula_values("patch_embedding.weight", {1, 3});
  EXPECT_NEAR(x[0], -0.41016352, 1e-7);  // one column of three: sqrt(3 / 3)
  EXPECT_NEAR(x[1], 0.30667520, 1e-7);
  EXPECT_NEAR(x[2], -0.05390012, 1e-7);
}

TEST_F(FormulaChainTest, TextEncoder) {
  std::vector<std::vector<std::int32_t>> prompts(1);
  for (std::int32_t i = 0; i < 100; ++i) prompts[0].push_back((7 * i + 3) % 64);
  expect_row(
      encoder_.encode(*ops_, prompts)[0],
      {-0.035014, 0.988311, {0.600883, 0.197012, -0.783983, -2.392868}, {-0.366071, -1.085318}},
      "UMT5");
}

TEST_F(FormulaChainTest, TextProjection) {
  const Weights root = weights(dit_shapes(dit_config()));
  const Linear linear_1(16, 256, root.child("condition_embedder.text_embedder.linear_1"));
  const Linear linear_2(256, 256, root.child("condition_embedder.text_embedder.linear_2"));
  std::vector<float> padded = testing::formula_values("ctx", {5, 16});
  padded.resize(512 * 16);
  const Tensor rows = testing::tensor_of(context_.allocator(), {1, 512, 16}, padded);
  Tensor hidden(context_.allocator(), DType::kF32, {1, 512, 256});
  Tensor text(context_.allocator(), DType::kF32, {1, 512, 256});
  linear_1(*ops_, rows, hidden, kernels::Activation::kGeluTanh);
  linear_2(*ops_, hidden, text);
  expect_row(text,
             {-0.007804, 0.169600, {0.394383, 0.480600, 0.052788, 0.005991}, {0.240891, 0.102892}},
             "text MLP");
}

TEST_F(FormulaChainTest, Transformer) {
  const Shape latent_shape = {1, 16, 3, 4, 6};
  const Tensor latent = formula_tensor("x", latent_shape);
  const TextContext text = dit_.encode_text(*ops_, formula_tensor("ctx", {1, 5, 16}), 512);
  DitActivations activations(*ops_, dit_.config(), latent_shape, {});
  Tensor velocity(context_.allocator(), DType::kF32, latent_shape);
  dit_.forward(*ops_, latent, 500.0, {}, text, activations, velocity);
  expect_row(
      velocity,
      {-0.011136, 1.304619, {-1.260607, -2.792023, -0.142030, -2.280681}, {1.832581, 0.726041}},
      "DiT");
}

TEST_F(FormulaChainTest, WholeChain) {
  const std::vector<std::vector<std::int32_t>> prompts = {{5, 9, 2, 33, 1}, {1}};
  const std::vector<Tensor> encoded = encoder_.encode(*ops_, prompts);
  const TextContext positive = dit_.encode_text(*ops_, encoded[0], 512);
  const TextContext negative = dit_.encode_text(*ops_, encoded[1], 512);

  const Shape shape = {1, 16, 3, 4, 6};
  Tensor latent(context_.allocator(), DType::kF32, shape);
  TorchCpuGenerator(0).normal(
      {latent.view().data<float>(), static_cast<std::size_t>(shape.num_elements())});
  expect_row(
      latent,
      {0.015302, 1.020802, {-1.125840, -1.152360, -0.250579, -0.433879}, {-0.667477, 0.125382}},
      "noise");

  const std::map<std::int64_t, TableRow> rows = {
      {1,
       {0.021490, 1.019886, {-1.014312, -1.084580, -0.177791, -0.440653}, {-0.756131, -0.021357}}},
      {2,
       {0.026012, 1.026911, {-0.822187, -0.964884, -0.080268, -0.363906}, {-0.825952, -0.125388}}},
      {3,
       {0.046131, 1.051193, {-0.743317, -0.915982, -0.027985, -0.324145}, {-0.712143, -0.301908}}},
      {5,
       {0.083149, 1.216795, {-0.014088, -0.925812, -0.285059, -0.118363}, {-0.824105, -0.372667}}},
      {6,
       {0.087414, 1.454604, {0.530601, -0.440809, -0.098658, 0.337639}, {-1.334670, -0.776887}}}};
  const std::vector<scheduler::StepPlan> plans =
      scheduler::plan_steps(scheduler::SolverKind::kUniPC, 6, 3.0);
  GuidedModel model(*ops_, dit_, shape, {}, scheduler::guidance_weights(5.0), positive, negative);
  DenoiseLoop loop(*ops_, shape, plans);
  loop.run(
      *ops_,
      [&](std::int64_t step, const scheduler::StepPlan& plan, ConstTensorView sample,
          TensorView velocity) {
        model(*ops_, sample, plan.timestep, {.step = step, .num_steps = 6}, velocity);
      },
      latent,
      [&rows](std::int64_t step, ConstTensorView sample) {
        const auto row = rows.find(step + 1);
        if (row != rows.end()) expect_row(sample, row->second, concat("after step ", step + 1));
      });
}

}  // namespace
}  // namespace psagen::engine
