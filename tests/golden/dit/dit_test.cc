// The diffusion transformer against diffusers' WanTransformer3DModel.
#include <gtest/gtest.h>

#include "engine/dit/dit.h"
#include "kernels/backend.h"
#include "tests/support/formula_weights.h"
#include "tests/support/golden_fixture.h"

namespace psagen::engine {
namespace {

using testing::FormulaSource;
using testing::GoldenFixture;
using testing::Json;

constexpr double kMaxRelativeL2 = 1e-5;

TEST(DitTest, AgreesWithDiffusers) {
  const GoldenFixture golden("dit");
  Context context;
  const std::unique_ptr<kernels::Ops> ops = kernels::make_ops(context);
  for (const Json& golden_case : golden.json().at("cases")) {
    const std::string label = golden_case.at("label");
    const Json& model = golden.json().at("models").at(golden_case.at("model"));
    const TransformerConfig config = testing::transformer_config_from(model.at("config"));
    const DType dtype = golden_case.at("bfloat16") ? DType::kBF16 : DType::kF32;
    const Weights weights(
        std::make_shared<FormulaSource>(testing::shapes_from(model.at("tensors")), dtype), context);
    const Dit dit(config, weights, *ops);
    weights.expect_all_read();

    Allocator& allocator = context.allocator();
    const Shape latent_shape = testing::shape_from(golden_case.at("latent"));
    const Shape text_shape = {1, golden_case.at("text_rows").get<std::int64_t>(), config.text_dim};
    const Tensor latent =
        testing::tensor_of(allocator, latent_shape, testing::formula_values("x", latent_shape));
    const Tensor encoded =
        testing::tensor_of(allocator, text_shape, testing::formula_values("ctx", text_shape));
    const TextContext text = dit.encode_text(*ops, encoded, golden_case.at("max_text_tokens"));
    DitActivations activations(*ops, config, latent_shape, {});
    Tensor velocity(allocator, DType::kF32, latent_shape);
    dit.forward(*ops, latent, golden_case.at("timestep"), {}, text, activations, velocity);

    const double error =
        testing::relative_l2(testing::floats_of(velocity), golden.values<float>(label));
    RecordProperty(label, concat(error));
    EXPECT_LE(error, kMaxRelativeL2) << label << ": " << golden_case.at("model");
  }
}

}  // namespace
}  // namespace psagen::engine
