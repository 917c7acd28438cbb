// What the public functions of Ops refuse, and that the message names the op and the argument.
#include "kernels/ops.h"

#include <gtest/gtest.h>

#include <functional>

#include "kernels/backend.h"

namespace psagen::kernels {
namespace {

class OpsTest : public testing::Test {
 protected:
  Tensor tensor(Shape shape, DType dtype = DType::kF32) {
    return Tensor(context_.allocator(), dtype, shape);
  }

  static void expect_refused(const std::function<void()>& call,
                             const std::vector<std::string>& words) {
    try {
      call();
      FAIL() << "accepted, but should name " << words[0];
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      for (const std::string& word : words)
        EXPECT_NE(error.message().find(word), std::string::npos)
            << error.message() << " should say " << word;
    }
  }

  Context context_{{.device = {}, .num_threads = 1}};
  std::unique_ptr<Ops> ops_ = make_ops(context_);
};

TEST_F(OpsTest, LinearNamesWhatIsWrong) {
  const Tensor x = tensor({1, 3, 4}), weight = tensor({5, 4}), bias = tensor({5});
  const Tensor residual = tensor({1, 3, 5}), wrong = tensor({1, 4});
  const Tensor ids = tensor({1, 3, 4}, DType::kI32);
  Tensor y = tensor({1, 3, 5});
  const LinearArgs good{.x = x, .weight = weight, .bias = bias, .y = y};
  ops_->linear(good);
  const auto refused = [&](const std::function<void(LinearArgs&)>& change,
                           const std::vector<std::string>& words) {
    LinearArgs args = good;
    change(args);
    expect_refused([&] { ops_->linear(args); }, words);
  };
  refused([&](LinearArgs& a) { a.weight = {}; }, {"linear", "weight", "not given"});
  refused([&](LinearArgs& a) { a.weight = x; }, {"linear", "weight", "[1, 3, 4]"});
  refused(
      [&](LinearArgs& a) {
        a.weight = residual.view().reshape({3, 5});
      },
      {"weight", "[3, 5]", "[3, 4]"});
  refused([&](LinearArgs& a) { a.x = ids; }, {"x", "I32", "F32"});
  refused([&](LinearArgs& a) { a.bias = wrong; }, {"bias", "[1, 4]", "[5]"});
  refused([&](LinearArgs& a) { a.y = y.view().slice(1, 0, 2); }, {"y", "[1, 2, 5]", "[1, 3, 5]"});
  refused(
      [&](LinearArgs& a) {
        a.residual = residual;
        a.activation = Activation::kSilu;
      },
      {"activation", "residual"});
  refused([&](LinearArgs& a) { a.residual = wrong; }, {"residual", "[1, 4]", "[1, 3, 5]"});
}

TEST_F(OpsTest, RowsThatAreNotEvenlySpacedAreRefused) {
  const Tensor x = tensor({2, 4, 6, 8}), gamma = tensor({8});
  Tensor y = tensor({2, 4, 3, 8});
  expect_refused([&] { ops_->rms_norm({.x = x.view().slice(2, 0, 3), .gamma = gamma, .y = y}); },
                 {"rms_norm", "x", "[2, 4, 3, 8]", "evenly"});
}

TEST_F(OpsTest, NormsCheckTheirParameters) {
  const Tensor x = tensor({2, 3, 8}), gamma = tensor({8}), short_gamma = tensor({7});
  const Tensor scale = tensor({2, 8});
  Tensor y = tensor({2, 3, 8});
  expect_refused([&] { ops_->rms_norm({.x = x, .gamma = short_gamma, .y = y}); },
                 {"rms_norm", "gamma", "[7]", "[8]"});
  expect_refused([&] { ops_->layer_norm({.x = x, .gamma = gamma, .y = y}); },
                 {"layer_norm", "gamma and beta"});
  expect_refused([&] { ops_->layer_norm({.x = x, .scale = scale, .y = y}); },
                 {"layer_norm", "scale and shift"});
  expect_refused([&] { ops_->channel_norm({.x = x, .gamma = {}, .y = y}); },
                 {"channel_norm", "gamma"});
}

TEST_F(OpsTest, RopeChecksHeadsAndTables) {
  const Tensor x = tensor({1, 3, 12}), gamma = tensor({12}), table = tensor({3, 2});
  Tensor y = tensor({1, 3, 3, 4}), odd = tensor({1, 3, 4, 3});
  const RmsNormRopeArgs good{.x = x, .gamma = gamma, .rope_cos = table, .rope_sin = table, .y = y};
  ops_->rms_norm_rope(good);
  RmsNormRopeArgs args = good;
  args.y = odd;
  expect_refused([&] { ops_->rms_norm_rope(args); }, {"rms_norm_rope", "even"});
  args = good;
  args.rope_sin = gamma;
  expect_refused([&] { ops_->rms_norm_rope(args); }, {"rope_sin", "[12]", "[3, 2]"});
}

TEST_F(OpsTest, AttentionChecksShapes) {
  const Tensor q = tensor({1, 3, 2, 4}), k = tensor({1, 5, 2, 4}), bias = tensor({2, 3, 4});
  const Tensor none = tensor({1, 0, 2, 4});
  Tensor out = tensor({1, 3, 2, 4});
  expect_refused([&] { ops_->attention({.q = q, .k = k, .v = q, .out = out}); },
                 {"attention", "v", "[1, 3, 2, 4]", "[1, 5, 2, 4]"});
  expect_refused([&] { ops_->attention({.q = q, .k = k, .v = k, .bias = bias, .out = out}); },
                 {"bias", "[2, 3, 4]", "[2, 3, 5]"});
  expect_refused(
      [&] { ops_->attention({.q = q, .k = k, .v = k, .key_log_weight = bias, .out = out}); },
      {"key_log_weight", "[1, 5]"});
  expect_refused([&] { ops_->attention({.q = q, .k = none, .v = none, .out = out}); },
                 {"k", "at least one key"});
}

TEST_F(OpsTest, ConvolutionChecksShapes) {
  const Tensor even = tensor({4, 3, 1, 2, 2}), weight = tensor({4, 3, 1, 3, 3});
  const Tensor bias = tensor({4}), x = tensor({2, 5, 6, 3});
  Tensor y = tensor({2, 5, 6, 4});
  expect_refused([&] { ops_->pack_conv3d({.weight = even, .bias = bias}); },
                 {"pack_conv3d", "weight", "odd"});
  const auto packed = ops_->pack_conv3d({.weight = weight, .bias = bias});
  EXPECT_EQ(packed->in_channels, 3);
  EXPECT_EQ(packed->out_channels, 4);
  expect_refused([&] { ops_->conv3d({.x = x, .y = y}); }, {"conv3d", "weights"});
  expect_refused([&] { ops_->conv3d({.x = y, .weights = packed.get(), .y = y}); },
                 {"x", "[2, 5, 6, 4]", "[2, 5, 6, 3]"});
  expect_refused([&] { ops_->conv3d({.x = x, .context = x, .weights = packed.get(), .y = y}); },
                 {"context", "one frame"});
  expect_refused([&] { ops_->conv3d({.x = x, .weights = packed.get(), .upsample = true, .y = y}); },
                 {"y", "[2, 10, 12, 4]"});
}

TEST_F(OpsTest, IdsAndOrdersAreChecked) {
  const Tensor table = tensor({10, 4}), latent = tensor({1, 2, 1, 4, 4});
  Tensor y = tensor({2, 4}), tokens = tensor({1, 4, 8});
  const std::vector<std::int32_t> ids = {3, 10};
  expect_refused([&] { ops_->embedding({.ids = ids, .table = table, .y = y}); },
                 {"embedding", "id 1", "10", "9"});
  const Tensor short_order = tensor({3}, DType::kI32);
  Tensor wrong_order = tensor({4}, DType::kI32);
  for (std::int32_t i = 0; i < 4; ++i) wrong_order.view().data<std::int32_t>()[i] = i < 3 ? i : -1;
  expect_refused(
      [&] { ops_->patchify({.latent = latent, .order = short_order, .tokens = tokens}); },
      {"patchify", "order", "[3]", "[4]"});
  expect_refused(
      [&] { ops_->patchify({.latent = latent, .order = wrong_order, .tokens = tokens}); },
      {"order[3]", "-1"});
  const Tensor odd = tensor({1, 2, 1, 3, 4});
  expect_refused([&] { ops_->patchify({.latent = odd, .order = {}, .tokens = tokens}); },
                 {"latent", "[1, 2, 1, 3, 4]", "even"});
}

TEST_F(OpsTest, ElementwiseOpsCheckShapesAndTypes) {
  const Tensor x = tensor({2, 3}), ids = tensor({2, 3}, DType::kI32);
  Tensor y = tensor({3, 2}), same = tensor({2, 3});
  expect_refused([&] { ops_->activate(x, Activation::kSilu, y); }, {"activate", "y", "[3, 2]"});
  expect_refused([&] { ops_->linear_combination({}, same); }, {"linear_combination", "terms"});
  expect_refused([&] { ops_->copy(ids, same); }, {"copy", "I32", "F32"});
  expect_refused([&] { ops_->copy(x, y); }, {"copy", "y", "[3, 2]", "[2, 3]"});
  expect_refused([&] { ops_->to_rgb8({.x = x, .rgb = same}); }, {"to_rgb8", "x", "4 dimensions"});
}

TEST_F(OpsTest, NothingIsDoneForNoRows) {
  const Tensor x = tensor({1, 0, 4}), weight = tensor({5, 4}), gamma = tensor({4});
  Tensor y = tensor({1, 0, 5}), z = tensor({1, 0, 4});
  ops_->linear({.x = x, .weight = weight, .y = y});
  ops_->rms_norm({.x = x, .gamma = gamma, .y = z});
  ops_->copy(x, z);
  ops_->activate(x, Activation::kSilu, z);
}

}  // namespace
}  // namespace psagen::kernels
