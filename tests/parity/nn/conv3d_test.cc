#include "kernels/reference/conv3d.h"

#include "tests/parity/nn/nn_parity.h"

namespace psagen::kernels {
namespace {

struct Case {
  std::int64_t in, out, kernel_t, kernel_s;
  std::int64_t frames, height, width;
};

class Conv3dParity : public NnParity {
 protected:
  void check_conv(const Case& c, bool with_context, bool upsample, bool with_residual,
                  DType dtype) {
    const std::int64_t factor = upsample ? 2 : 1;
    const Tensor weight = random({c.out, c.in, c.kernel_t, c.kernel_s, c.kernel_s}, 1, dtype, 0.3);
    const Tensor bias = random({c.out}, 2, dtype);
    const Tensor x = random({c.frames, c.height, c.width, c.in}, 3);
    const Tensor left = random({c.kernel_t - 1, c.height, c.width, c.in}, 4);
    const Tensor residual = random({c.frames, factor * c.height, factor * c.width, c.out}, 5);
    Tensor y = empty(residual.shape());
    Conv3dArgs args{.x = x, .upsample = upsample, .y = y};
    if (with_context) args.context = left;
    if (with_residual) args.residual = residual;
    const PackConv3dArgs plain{.weight = weight, .bias = bias};
    const auto truth = reference::conv3d<double>(args, plain);
    const auto naive = reference::conv3d<float>(args, plain);
    const auto packed_two = two_->pack_conv3d(plain), packed_one = one_->pack_conv3d(plain);
    const std::string what =
        concat(c.in, " to ", c.out, " kernel ", c.kernel_t, "x", c.kernel_s, " of ", c.frames, "x",
               c.height, "x", c.width, with_context ? " context" : "", upsample ? " upsample" : "",
               with_residual ? " residual" : "", " ", dtype_name(dtype));
    const auto run = [&](Ops& ops) {
      args.weights = &ops == two_.get() ? packed_two.get() : packed_one.get();
      ops.conv3d(args);
    };
    check(run, y, truth, naive, what);
    if (!with_residual) return;
    args.residual = y;
    check(
        [&](Ops& ops) {
          ops.copy(residual, y);
          run(ops);
        },
        y, truth, naive, what + " in place");
  }
};

TEST_P(Conv3dParity, KernelsOfTheDecoder) {
  const Case cases[] = {
      {16, 16, 1, 1, 3, 5, 7},  {16, 32, 3, 3, 2, 8, 6},  {5, 3, 3, 3, 4, 7, 9},
      {32, 64, 3, 1, 4, 6, 5},  {48, 24, 1, 3, 2, 9, 10}, {32, 3, 3, 3, 1, 12, 8},
      {20, 40, 1, 1, 1, 17, 4}, {64, 32, 3, 3, 2, 9, 8},  {3, 7, 3, 3, 1, 1, 1},
      {96, 96, 3, 3, 1, 6, 6},
  };
  for (const Case& c : cases) {
    check_conv(c, false, false, false, DType::kF32);
    check_conv(c, false, false, true, DType::kBF16);
    if (c.kernel_t == 1) continue;
    check_conv(c, true, false, false, DType::kF16);
    check_conv(c, true, false, true, DType::kF32);
  }
}

TEST_P(Conv3dParity, DoubledFrames) {
  check_conv({32, 16, 1, 3, 3, 5, 4}, false, true, false, DType::kF32);
  check_conv({6, 5, 1, 3, 2, 3, 7}, false, true, true, DType::kBF16);
  check_conv({8, 8, 1, 1, 2, 3, 3}, false, true, false, DType::kF32);
  check_conv({8, 12, 3, 3, 4, 4, 3}, false, true, true, DType::kF32);
  check_conv({8, 12, 3, 3, 4, 4, 3}, true, true, false, DType::kF32);
}

TEST_P(Conv3dParity, LargeEnoughForEveryThread) {
  check_conv({32, 32, 3, 3, 2, 40, 36}, true, false, true, DType::kF32);
}

// Chunks joined by their context give what the whole clip gives.
TEST_P(Conv3dParity, ChunksEqualTheWhole) {
  const Tensor weight = random({8, 8, 3, 3, 3}, 10), bias = random({8}, 11);
  const Tensor x = random({6, 7, 5, 8}, 12);
  const auto packed = two_->pack_conv3d({.weight = weight, .bias = bias});
  Tensor whole = empty({6, 7, 5, 8}), parts = empty({6, 7, 5, 8});
  two_->conv3d({.x = x, .weights = packed.get(), .y = whole});
  two_->conv3d(
      {.x = x.view().slice(0, 0, 2), .weights = packed.get(), .y = parts.view().slice(0, 0, 2)});
  for (std::int64_t frame = 2; frame < 6; ++frame) {
    two_->conv3d({.x = x.view().slice(0, frame, frame + 1),
                  .context = x.view().slice(0, frame - 2, frame),
                  .weights = packed.get(),
                  .y = parts.view().slice(0, frame, frame + 1)});
  }
  const auto truth = reference::conv3d<double>({.x = x, .y = whole}, {weight, bias});
  const auto naive = reference::conv3d<float>({.x = x, .y = whole}, {weight, bias});
  expect_close(whole, truth, naive, "whole");
  expect_close(parts, truth, naive, "parts");
}

PSAGEN_NN_PARITY_TARGETS(Conv3dParity);

}  // namespace
}  // namespace psagen::kernels
