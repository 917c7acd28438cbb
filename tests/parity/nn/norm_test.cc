#include "kernels/reference/norm.h"

#include "kernels/reference/rms_norm_rope.h"
#include "tests/parity/nn/nn_parity.h"

namespace psagen::kernels {
namespace {

class NormParity : public NnParity {};

constexpr std::int64_t kWidths[] = {1, 2, 3, 15, 16, 17, 31, 33, 64, 96, 100, 255, 1536, 5120};

// Rows enough for the largest error of a formula to be more than luck.
std::int64_t rows_for(std::int64_t width) { return std::max<std::int64_t>(3, 2000 / width); }

TEST_P(NormParity, RmsNorm) {
  for (const std::int64_t width : kWidths) {
    for (const DType dtype : kWeightTypes) {
      const Tensor x = random({2, rows_for(width), width}, 1, DType::kF32, 20.0);
      const Tensor gamma = random({width}, 2, dtype);
      Tensor y = empty({2, rows_for(width), width});
      const RmsNormArgs args{.x = x, .gamma = gamma, .y = y};
      check([&](Ops& ops) { ops.rms_norm(args); }, y, reference::rms_norm<double>(args),
            reference::rms_norm<float>(args), concat("width ", width, " ", dtype_name(dtype)));
    }
  }
}

TEST_P(NormParity, RmsNormInPlaceOfPartOfARow) {
  const Tensor values = random({2, 5, 50}, 3);
  const Tensor gamma = random({37}, 4);
  Tensor y = empty({2, 5, 50});
  const RmsNormArgs out_of_place{.x = values.view().slice(2, 4, 41), .gamma = gamma, .y = {}};
  const TensorView part = y.view().slice(2, 4, 41);
  check(
      [&](Ops& ops) {
        ops.copy(values, y);
        ops.rms_norm({.x = part, .gamma = gamma, .y = part});
      },
      part, reference::rms_norm<double>(out_of_place), reference::rms_norm<float>(out_of_place),
      "in place");
}

TEST_P(NormParity, LayerNorm) {
  for (const std::int64_t width : kWidths) {
    if (width == 1) continue;  // the variance of one value is 0: nothing to compare
    const Tensor x = random({2, rows_for(width), width}, 5, DType::kF32, 4.0);
    const Tensor gamma = random({width}, 6, DType::kBF16), beta = random({width}, 7, DType::kF16);
    const Tensor modulation = random({2, 6, width}, 8);
    const auto row = [&](std::int64_t index) {
      return modulation.view().slice(1, index, index + 1);
    };
    const auto flat = [&](const ConstTensorView& view) {
      return ConstTensorView(view.bytes(), DType::kF32, {2, width}, {6 * width, 1}, view.device());
    };
    Tensor y = empty({2, rows_for(width), width});
    LayerNormArgs args{.x = x, .y = y};
    const auto check_args = [&](const char* what) {
      check([&](Ops& ops) { ops.layer_norm(args); }, y, reference::layer_norm<double>(args),
            reference::layer_norm<float>(args), concat(what, ", width ", width));
    };
    check_args("plain");
    args.gamma = gamma;
    args.beta = beta;
    check_args("affine");
    args.scale = flat(row(1));
    args.shift = flat(row(0));
    check_args("affine and modulated");
    args.gamma = args.beta = {};
    check_args("modulated");
  }
}

TEST_P(NormParity, ResidualNorm) {
  for (const std::int64_t width : kWidths) {
    if (width == 1) continue;
    const Tensor before = random({2, rows_for(width), width}, 31, DType::kF32, 4.0);
    const Tensor y = random({2, rows_for(width), width}, 32);
    const Tensor gate = random({2, width}, 33), scale = random({2, width}, 34),
                 shift = random({2, width}, 35);
    Tensor x = empty(before.shape()), h = empty(before.shape());
    ResidualNormArgs args{.x = x, .y = y, .scale = scale, .shift = shift, .h = h};
    for (const bool gated : {false, true}) {
      if (gated) args.gate = gate;
      const auto run = [&](Ops& ops) {
        ops.copy(before, x);
        ops.residual_norm(args);
      };
      two_->copy(before, x);
      const auto truth = reference::residual_norm<double>(args);
      const auto naive = reference::residual_norm<float>(args);
      check(run, h, truth.h, naive.h, concat("h, width ", width));
      check(run, x, truth.x, naive.x, concat("x, width ", width));
    }
  }
}

TEST_P(NormParity, LayerNormWithALargeMean) {
  Tensor x = random({1, 3, 512}, 9);
  for (std::int64_t i = 0; i < 3 * 512; ++i) x.view().data<float>()[i] += 1000.0f;
  Tensor y = empty({1, 3, 512});
  const LayerNormArgs args{.x = x, .y = y};
  check([&](Ops& ops) { ops.layer_norm(args); }, y, reference::layer_norm<double>(args),
        reference::layer_norm<float>(args), "mean 1000");
}

TEST_P(NormParity, ChannelNorm) {
  for (const std::int64_t width : kWidths) {
    if (width == 1) continue;  // x / |x|: the plain formula makes no error at all
    const Tensor gamma = random({width}, 10, DType::kBF16, 2.0);
    const Tensor values = random({2, 2, rows_for(width), width}, 11, DType::kF32, 3.0);
    Tensor y = empty({2, 2, rows_for(width), width});
    for (const bool silu : {false, true}) {
      const ChannelNormArgs args{.x = values, .gamma = gamma, .silu = silu, .y = y};
      const auto truth = reference::channel_norm<double>(args);
      const auto naive = reference::channel_norm<float>(args);
      const std::string what = concat("width ", width, silu ? " silu" : "");
      check([&](Ops& ops) { ops.channel_norm(args); }, y, truth, naive, what);
      check(
          [&](Ops& ops) {
            ops.copy(values, y);
            ops.channel_norm({.x = y, .gamma = gamma, .silu = silu, .y = y});
          },
          y, truth, naive, what + " in place");
    }
  }
}

TEST_P(NormParity, ChannelNormOfZerosIsZero) {
  Tensor x = random({3, 40}, 12, DType::kF32, 0.0);
  const Tensor gamma = random({40}, 13);
  Tensor y = empty({3, 40});
  two_->channel_norm({.x = x, .gamma = gamma, .silu = true, .y = y});
  for (const float value : reference::elements<float>(y)) EXPECT_EQ(value, 0.0f);
}

TEST_P(NormParity, RmsNormRope) {
  for (const std::int64_t head_dim : {2, 6, 32, 34, 64, 96, 128}) {
    const std::int64_t heads = 3, tokens = 21;
    const Tensor wide = random({2, tokens, 3 * heads * head_dim}, 14, DType::kF32, 5.0);
    const ConstTensorView x = wide.view().slice(2, heads * head_dim, 2 * heads * head_dim);
    const Tensor gamma = random({heads * head_dim}, 15, DType::kBF16);
    const Tensor angle_cos = random({tokens, head_dim / 2}, 16);
    const Tensor angle_sin = random({tokens, head_dim / 2}, 17);
    Tensor y = empty({2, tokens, heads, head_dim});
    RmsNormRopeArgs args{
        .x = x, .gamma = gamma, .rope_cos = angle_cos, .rope_sin = angle_sin, .y = y};
    const auto truth = reference::rms_norm_rope<double>(args);
    const auto naive = reference::rms_norm_rope<float>(args);
    check([&](Ops& ops) { ops.rms_norm_rope(args); }, y, truth, naive,
          concat("head_dim ", head_dim));
    Tensor copy = empty({2, tokens, 3 * heads * head_dim});
    const TensorView part = copy.view().slice(2, heads * head_dim, 2 * heads * head_dim);
    args.x = part;
    args.y = part.split_last(heads, head_dim);
    check(
        [&](Ops& ops) {
          ops.copy(wide, copy);
          ops.rms_norm_rope(args);
        },
        args.y, truth, naive, concat("in place, head_dim ", head_dim));
  }
}

PSAGEN_NN_PARITY_TARGETS(NormParity);

}  // namespace
}  // namespace psagen::kernels
