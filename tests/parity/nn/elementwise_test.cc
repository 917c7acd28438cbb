#include <limits>
#include <numeric>

#include "kernels/reference/activation.h"
#include "kernels/reference/patches.h"
#include "kernels/reference/pixels.h"
#include "tests/parity/nn/nn_parity.h"

namespace psagen::kernels {
namespace {

class ElementwiseParity : public NnParity {
 protected:
  static std::vector<double> as_doubles(const std::vector<float>& values) {
    return {values.begin(), values.end()};
  }
};

TEST_P(ElementwiseParity, ActivationsOfEverySmallSize) {
  for (std::int64_t width = 1; width <= 70; ++width) {
    const Tensor x = random({width}, static_cast<std::uint64_t>(width), DType::kF32, 8.0);
    Tensor y = empty({width});
    for (const Activation activation :
         {Activation::kNone, Activation::kGeluTanh, Activation::kSilu}) {
      check([&](Ops& ops) { ops.activate(x, activation, y); }, y,
            reference::activate<double>(x.view(), activation),
            reference::activate<float>(x.view(), activation),
            concat("width ", width, " activation ", static_cast<int>(activation)));
    }
  }
}

TEST_P(ElementwiseParity, ActivationsSaturate) {
  Tensor x = random({8}, 1);
  const float extremes[] = {-1e30f, -200.0f, -90.0f, -20.0f, 0.0f, 20.0f, 90.0f, 1e30f};
  std::copy_n(extremes, 8, x.view().data<float>());
  Tensor y = empty({8});
  for (const Activation activation : {Activation::kGeluTanh, Activation::kSilu}) {
    two_->activate(x, activation, y);
    const auto values = reference::elements<float>(y);
    for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(values[i], 0.0f, 1e-7f) << extremes[i];
    for (std::size_t i = 4; i < 8; ++i) EXPECT_FLOAT_EQ(values[i], extremes[i]);
  }
}

TEST_P(ElementwiseParity, GeluGate) {
  for (const std::int64_t width : {5, 16, 1000, 40001}) {
    const Tensor pair = random({3, 2 * width}, 2, DType::kF32, 4.0);
    const ConstTensorView gate = pair.view().slice(1, 0, width);
    const ConstTensorView up = pair.view().slice(1, width, 2 * width);
    Tensor y = empty({3, width});
    const GeluGateArgs args{.gate = gate, .up = up, .y = y};
    const auto truth = reference::gelu_gate<double>(args);
    const auto naive = reference::gelu_gate<float>(args);
    check([&](Ops& ops) { ops.gelu_gate(args); }, y, truth, naive, concat("width ", width));
    Tensor up_copy = empty({3, width});
    check(
        [&](Ops& ops) {
          ops.copy(gate, y);
          ops.copy(up, up_copy);
          ops.gelu_gate({.gate = y, .up = up_copy, .y = y});
        },
        y, truth, naive, concat("in place of the gate, width ", width));
    check(
        [&](Ops& ops) {
          ops.copy(gate, up_copy);
          ops.copy(up, y);
          ops.gelu_gate({.gate = up_copy, .up = y, .y = y});
        },
        y, truth, naive, concat("in place of up, width ", width));
  }
}

TEST_P(ElementwiseParity, LinearCombination) {
  for (const std::int64_t width : {1, 7, 257, 70001}) {
    const Tensor a = random({2, width}, 3), b = random({2, width}, 4);
    const Tensor wide = random({2, width + 5}, 5);
    const LinearTerm terms[] = {
        {1.75, a}, {-0.3333333, b}, {1e-3, wide.view().slice(1, 2, 2 + width)}};
    std::vector<double> truth(static_cast<std::size_t>(2 * width));
    std::vector<float> naive(truth.size());
    for (const LinearTerm& term : terms) {
      const auto x = reference::elements<double>(term.x);
      for (std::size_t i = 0; i < truth.size(); ++i) {
        truth[i] += term.coefficient * x[i];
        naive[i] += static_cast<float>(term.coefficient) * static_cast<float>(x[i]);
      }
    }
    Tensor y = empty({2, width});
    check([&](Ops& ops) { ops.linear_combination(terms, y); }, y, truth, naive,
          concat("width ", width));
    check(
        [&](Ops& ops) {
          ops.copy(a, y);
          const LinearTerm in_place[] = {{1.75, y}, terms[1], terms[2]};
          ops.linear_combination(in_place, y);
        },
        y, truth, naive, concat("in place, width ", width));
  }
}

TEST_P(ElementwiseParity, Embedding) {
  for (const DType dtype : kWeightTypes) {
    const Tensor table = random({50, 33}, 6, dtype);
    const std::vector<std::int32_t> ids = {3, 49, 0, 3, 17, 20, 21, 22, 48, 1};
    Tensor y = empty({10, 33});
    const auto values = reference::elements<float>(table.view());
    std::vector<float> wanted;
    for (const std::int32_t id : ids)
      wanted.insert(wanted.end(), values.begin() + id * 33, values.begin() + (id + 1) * 33);
    check([&](Ops& ops) { ops.embedding({.ids = ids, .table = table, .y = y}); }, y,
          as_doubles(wanted), wanted, dtype_name(dtype));
    expect_same_bits(reference::elements<float>(y), wanted);
  }
}

TEST_P(ElementwiseParity, CopyBetweenAnyStridesAndTypes) {
  for (const DType from : kWeightTypes) {
    for (const DType to : kWeightTypes) {
      const Tensor source = random({4, 5, 6, 7}, 8, from);
      // Axes in reverse: every stride differs from a contiguous one.
      const ConstTensorView x(source.view().bytes(), from, {7, 6, 5, 4}, {1, 7, 42, 210},
                              source.view().device());
      Tensor wide = empty({7, 6, 5, 9}, to);
      const TensorView y = wide.view().slice(3, 2, 6);
      two_->copy(x, y);
      const auto values = reference::elements<float>(x), got = reference::elements<float>(y);
      for (std::size_t i = 0; i < values.size(); ++i) {
        const float wanted = to == DType::kBF16  ? to_float(to_bf16(values[i]))
                             : to == DType::kF16 ? to_float(to_f16(values[i]))
                                                 : values[i];
        ASSERT_EQ(got[i], wanted) << dtype_name(from) << " to " << dtype_name(to) << " at " << i;
      }
    }
  }
}

TEST_P(ElementwiseParity, CopyOfBytesAndLargeRows) {
  const Tensor x = random({3, 100001}, 9);
  Tensor y = empty({3, 100001});
  two_->copy(x, y);
  expect_same_bits(reference::elements<float>(x.view()), reference::elements<float>(y));
  Tensor bytes = empty({5, 7}, DType::kU8), copied = empty({5, 7}, DType::kU8);
  std::iota(bytes.view().data<std::uint8_t>(), bytes.view().data<std::uint8_t>() + 35,
            std::uint8_t{200});
  two_->copy(bytes, copied);
  expect_same_bits(reference::elements<float>(bytes), reference::elements<float>(copied));
}

TEST_P(ElementwiseParity, PatchesInRasterAndInGivenOrder) {
  const Shape shape = {2, 3, 4, 6, 10};
  const std::int64_t tokens = 4 * 3 * 5;
  Tensor order = empty({tokens}, DType::kI32);
  for (std::int64_t i = 0; i < tokens; ++i)
    order.view().data<std::int32_t>()[i] = static_cast<std::int32_t>(i * 7 % tokens);
  for (const ConstTensorView& given : {ConstTensorView(), ConstTensorView(order)}) {
    const Tensor latent = random(shape, 10);
    Tensor wide = empty({2, tokens, 15});
    const TensorView patches = wide.view().slice(2, 1, 13);
    const PatchifyArgs in{.latent = latent, .order = given, .tokens = patches};
    const auto wanted = reference::patchify(in);
    check([&](Ops& ops) { ops.patchify(in); }, patches, as_doubles(wanted), wanted, "patchify");
    const Tensor outputs = random({2, tokens, 12}, 11);
    Tensor velocity = empty(shape);
    const UnpatchifyArgs out{.tokens = outputs, .order = given, .latent = velocity};
    const auto wanted_back = reference::unpatchify(out);
    check([&](Ops& ops) { ops.unpatchify(out); }, velocity, as_doubles(wanted_back), wanted_back,
          "unpatchify");
  }
}

TEST_P(ElementwiseParity, CountsWhatIsNotFinite) {
  const float inf = std::numeric_limits<float>::infinity();
  for (const std::int64_t width : {1, 7, 16, 33, 40000}) {
    Tensor wide = random({2, 3, width + 2}, 21, DType::kF32, 3e38);
    const TensorView x = wide.view().slice(2, 1, width + 1);
    Tensor counter = empty({1}, DType::kI32);
    std::int32_t& count = *counter.view().data<std::int32_t>();
    float* const first = wide.view().data<float>();
    first[0] = first[width + 1] = std::nanf("");  // outside the view
    count = 5;
    two_->count_nonfinite(x, counter);
    EXPECT_EQ(count, 5) << width;
    first[1] = inf;
    first[5 * (width + 2) + width] = -inf;
    first[2 * (width + 2) + 1] = std::nanf("");
    two_->count_nonfinite(x, counter);
    EXPECT_EQ(count, 8) << width;
    one_->count_nonfinite(x, counter);
    EXPECT_EQ(count, 11) << width;
  }
}

TEST_P(ElementwiseParity, PixelLevels) {
  Tensor x = random({2, 37, 41, 3}, 12, DType::kF32, 1.2);
  float* values = x.view().data<float>();
  for (int level = 0; level < 255; ++level)  // halves between two levels, where they are exact
    values[level] = (static_cast<float>(level) + 0.5f) / 127.5f - 1.0f;
  values[255] = -0.0f;
  values[256] = 1.0f;
  values[257] = -1.0f;
  Tensor rgb = empty({2, 37, 41, 3}, DType::kU8);
  const ToRgb8Args args{.x = x, .rgb = rgb};
  two_->to_rgb8(args);
  const auto wanted = reference::to_rgb8(args);
  for (std::size_t i = 0; i < wanted.size(); ++i)
    ASSERT_EQ(rgb.view().data<std::uint8_t>()[i], wanted[i]) << "at " << i << ": " << values[i];
}

TEST_P(ElementwiseParity, PixelTiesGoToEven) {
  // (x + 1) / 2 * 255 is exactly 127.5 at 0.
  Tensor x = random({1, 1, 1, 3}, 13, DType::kF32, 0.0);
  Tensor rgb = empty({1, 1, 1, 3}, DType::kU8);
  two_->to_rgb8({.x = x, .rgb = rgb});
  EXPECT_EQ(rgb.view().data<std::uint8_t>()[0], 128);
}

PSAGEN_NN_PARITY_TARGETS(ElementwiseParity);

}  // namespace
}  // namespace psagen::kernels
