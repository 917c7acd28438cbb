// The left context of a convolution: chunks of any size give what the whole clip gives.
#include "engine/nn/causal_conv3d.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "kernels/backend.h"
#include "tests/support/formula_weights.h"

namespace psagen::engine {
namespace {

class CausalConv3dTest : public ::testing::Test {
 protected:
  CausalConv3dTest() : ops_(kernels::make_ops(context_)) {}

  Tensor random_tensor(const Shape& shape, std::uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    Tensor tensor(context_.allocator(), DType::kF32, shape);
    for (std::int64_t i = 0; i < shape.num_elements(); ++i)
      tensor.view().data<float>()[i] = normal(random);
    return tensor;
  }

  // Largest difference from the convolution written out in double, zeros before the clip.
  double largest_error(ConstTensorView x, ConstTensorView weight, ConstTensorView bias,
                       ConstTensorView y) {
    const std::int64_t frames = x.dim(0), rows = x.dim(1), columns = x.dim(2), in = x.dim(3);
    const std::int64_t out = y.dim(3), time = weight.dim(2), space = weight.dim(3);
    double largest = 0.0;
    for (std::int64_t t = 0; t < frames; ++t)
      for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t c = 0; c < columns; ++c)
          for (std::int64_t o = 0; o < out; ++o) {
            double sum = bias.data<float>()[o];
            for (std::int64_t kt = 0; kt < time; ++kt)
              for (std::int64_t kr = 0; kr < space; ++kr)
                for (std::int64_t kc = 0; kc < space; ++kc) {
                  const std::int64_t ft = t + kt - (time - 1), fr = r + kr - space / 2,
                                     fc = c + kc - space / 2;
                  if (ft < 0 || fr < 0 || fr >= rows || fc < 0 || fc >= columns) continue;
                  for (std::int64_t i = 0; i < in; ++i)
                    sum +=
                        static_cast<double>(
                            weight.data<float>()[(((o * in + i) * time + kt) * space + kr) * space +
                                                 kc]) *
                        x.data<float>()[((ft * rows + fr) * columns + fc) * in + i];
                }
            const double found = y.data<float>()[((t * rows + r) * columns + c) * out + o];
            largest = std::max(largest, std::abs(found - sum));
          }
    return largest;
  }

  Context context_;
  std::unique_ptr<kernels::Ops> ops_;
};

TEST_F(CausalConv3dTest, AnyChunksGiveTheWholeClip) {
  constexpr std::int64_t kFrames = 7, kRows = 4, kColumns = 5, kIn = 3, kOut = 6;
  const Tensor x = random_tensor({kFrames, kRows, kColumns, kIn}, 1);
  for (const std::int64_t space : {1, 3}) {
    const Tensor weight = random_tensor({kOut, kIn, 3, space, space}, 2);
    const Tensor bias = random_tensor({kOut}, 3);
    const CausalConv3d conv(weight, bias, *ops_);
    for (const std::vector<std::int64_t>& chunks :
         {std::vector<std::int64_t>{7}, {1, 1, 1, 1, 1, 1, 1}, {1, 2, 4}, {2, 1, 3, 1}, {5, 2}}) {
      SCOPED_TRACE(::testing::PrintToString(chunks));
      Tensor y(context_.allocator(), DType::kF32, {kFrames, kRows, kColumns, kOut});
      CausalConv3d::Context context = conv.make_context(context_.allocator(), kRows, kColumns);
      std::int64_t begin = 0;
      for (const std::int64_t length : chunks) {
        conv(*ops_, x.view().slice(0, begin, begin + length), context,
             y.view().slice(0, begin, begin + length));
        begin += length;
      }
      ASSERT_EQ(begin, kFrames);
      EXPECT_LE(largest_error(x, weight, bias, y), 1e-5);
    }
  }
}

TEST_F(CausalConv3dTest, AddsAResidualInPlace) {
  const Tensor x = random_tensor({2, 3, 4, 5}, 4);
  const Tensor weight = random_tensor({5, 5, 3, 3, 3}, 5);
  const Tensor bias = random_tensor({5}, 6);
  const CausalConv3d conv(weight, bias, *ops_);
  Tensor plain(context_.allocator(), DType::kF32, x.shape());
  Tensor sum = random_tensor(x.shape(), 7);
  const Tensor before = random_tensor(x.shape(), 7);
  auto first = conv.make_context(context_.allocator(), 3, 4);
  auto second = conv.make_context(context_.allocator(), 3, 4);
  conv(*ops_, x, first, plain);
  conv(*ops_, x, second, sum, sum);
  for (std::int64_t i = 0; i < x.view().num_elements(); ++i)
    EXPECT_NEAR(sum.view().data<float>()[i],
                plain.view().data<float>()[i] + before.view().data<float>()[i], 1e-5);
}

TEST_F(CausalConv3dTest, AFrameConvDoublesBothSidesFirst) {
  const auto source = std::make_shared<testing::FormulaSource>(
      std::map<std::string, Shape>{{"c.weight", {4, 3, 3, 3}}, {"c.bias", {4}}});
  const Weights weights(source, context_);
  const FrameConv doubling(3, 4, 3, weights.child("c"), *ops_, FrameConv::Sampling::kDouble);
  const FrameConv plain(3, 4, 3, weights.child("c"), *ops_);
  const Tensor x = random_tensor({2, 3, 4, 3}, 8);
  Tensor large(context_.allocator(), DType::kF32, {2, 6, 8, 3});
  for (std::int64_t t = 0; t < 2; ++t)
    for (std::int64_t r = 0; r < 6; ++r)
      for (std::int64_t c = 0; c < 8; ++c)
        for (std::int64_t i = 0; i < 3; ++i)
          large.view().data<float>()[((t * 6 + r) * 8 + c) * 3 + i] =
              x.view().data<float>()[((t * 3 + r / 2) * 4 + c / 2) * 3 + i];
  Tensor found(context_.allocator(), DType::kF32, {2, 6, 8, 4});
  Tensor wanted(context_.allocator(), DType::kF32, {2, 6, 8, 4});
  doubling(*ops_, x, found);
  plain(*ops_, large, wanted);
  for (std::int64_t i = 0; i < wanted.view().num_elements(); ++i)
    EXPECT_NEAR(found.view().data<float>()[i], wanted.view().data<float>()[i], 1e-5);
}

}  // namespace
}  // namespace psagen::engine
