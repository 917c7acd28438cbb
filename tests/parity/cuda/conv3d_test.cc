// Convolutions on the device: engines of cuDNN where it is installed (the default), kernels of our
// own (the portable context), against the double-precision reference.
#include "kernels/reference/conv3d.h"

#include "tests/parity/cuda/cuda_parity.h"

namespace psagen::kernels {
namespace {

struct Case {
  std::int64_t in, out, kernel_t, kernel_s;
  std::int64_t frames, height, width;
  bool upsample = false;
};

enum class Past { kNone, kApart, kAdjacent };  // where the frames of the context lie
enum class Residual { kNone, kApart, kInPlace };

class Conv3dCudaParity : public CudaParity {
 protected:
  void SetUp() override {
    CudaParity::SetUp();
    if (IsSkipped()) return;
    portable_ops();
  }

  // The two contexts queue on streams of their own: before the portable ops read what the fixture
  // put on the device, it must be there.
  void fixture_done() { context_->runtime()->synchronize(); }

  void check_conv(const Case& c, Past past = Past::kNone, Residual residual = Residual::kNone) {
    check_conv(c, past, residual, dtype());
  }

  // `out_type`: of y and the residual.
  void check_conv(const Case& c, Past past, Residual residual, DType out_type) {
    const std::int64_t before = c.kernel_t - 1, factor = c.upsample ? 2 : 1;
    const Mirrored weight =
        random({c.out, c.in, c.kernel_t, c.kernel_s, c.kernel_s}, 1, dtype(), 0.3);
    const Mirrored bias = random({c.out}, 2, DType::kF32);
    // Context and x in one tensor, and a context by itself.
    const Mirrored frames = random({before + c.frames, c.height, c.width, c.in}, 3, dtype());
    const Mirrored apart = random({before, c.height, c.width, c.in}, 4, dtype());
    const Shape out_shape = {c.frames, factor * c.height, factor * c.width, c.out};
    const Mirrored added = random(out_shape, 5, out_type);
    fixture_done();

    const auto args_of = [&](auto side) {
      const ConstTensorView all = side(frames);
      Conv3dArgs args{
          .x = all.slice(0, before, before + c.frames), .upsample = c.upsample, .y = {}};
      if (past == Past::kApart) args.context = side(apart);
      if (past == Past::kAdjacent) args.context = all.slice(0, 0, before);
      if (residual != Residual::kNone) args.residual = side(added);
      return args;
    };
    const Conv3dArgs host = args_of([](const Mirrored& m) { return m.host.view(); });
    const PackConv3dArgs host_weights{.weight = weight.host, .bias = bias.host};
    const auto truth = reference::conv3d<double>(host, host_weights);
    // Tensor cores cut the sums of 16-bit products off where float32 would round. In a float32
    // result that shows: it must be good for 11 bits, which one rounded to BF16 on the way is not.
    const auto naive = rounded(reference::conv3d<float>(host, host_weights),
                               out_type == dtype() ? out_type : DType::kF16);

    for (Ops* const the_ops : {&ops(), &portable_ops()}) {
      const std::string what = concat(the_ops == &ops() ? "default " : "portable ",
                                      describe(c, past, residual), " to ", dtype_name(out_type));
      Conv3dArgs device = args_of([](const Mirrored& m) { return m.device.view(); });
      const auto packed = the_ops->pack_conv3d({.weight = weight.device, .bias = bias.device});
      device.weights = packed.get();
      const auto run = [&] {
        Mirrored y = poisoned(out_shape, out_type);
        fixture_done();
        if (residual == Residual::kInPlace) {
          the_ops->copy(added.device, y.device);
          device.residual = y.device;
        }
        device.y = y.device;
        the_ops->conv3d(device);
        the_ops->context().runtime()->synchronize();
        return values(y.device);
      };
      const std::vector<double> first = run();
      expect_close(first, truth, naive, what);
      for (int i = 0; i < 2; ++i) EXPECT_EQ(run(), first) << what << ", once more";
    }
  }

 private:
  static std::string describe(const Case& c, Past past, Residual residual) {
    std::string text = concat(c.in, " to ", c.out, " kernel ", c.kernel_t, "x", c.kernel_s, " of ",
                              c.frames, "x", c.height, "x", c.width, c.upsample ? " doubled" : "");
    if (past != Past::kNone) text += past == Past::kApart ? " context" : " adjacent context";
    if (residual == Residual::kNone) return text;
    return text + (residual == Residual::kApart ? " residual" : " residual in place");
  }
};

TEST_P(Conv3dCudaParity, KernelsOfTheDecoder) {
  const Case cases[] = {
      {16, 16, 1, 1, 3, 5, 7},  {16, 32, 3, 3, 2, 8, 6},   {5, 3, 3, 3, 4, 7, 9},
      {32, 64, 3, 1, 4, 6, 5},  {48, 24, 1, 3, 2, 9, 10},  {96, 3, 3, 3, 1, 12, 8},
      {20, 40, 1, 1, 1, 17, 4}, {96, 96, 3, 3, 2, 17, 18}, {3, 7, 3, 3, 1, 1, 1},
      {3, 96, 3, 3, 2, 3, 5},   {100, 96, 3, 1, 2, 4, 3},  {64, 136, 1, 3, 1, 5, 6},
      {8, 16, 3, 5, 2, 6, 7},
  };
  for (const Case& c : cases) {
    check_conv(c);
    check_conv(c, Past::kNone, Residual::kApart);
    check_conv(c, Past::kNone, Residual::kInPlace);
    if (c.kernel_t == 1) continue;
    check_conv(c, Past::kApart);
    check_conv(c, Past::kAdjacent);
    check_conv(c, Past::kAdjacent, Residual::kInPlace);
  }
}

TEST_P(Conv3dCudaParity, DoubledFrames) {
  check_conv({32, 16, 1, 3, 3, 5, 4, true});
  check_conv({32, 96, 1, 3, 2, 9, 11, true}, Past::kNone, Residual::kApart);
  check_conv({96, 48, 1, 3, 1, 8, 8, true}, Past::kNone, Residual::kInPlace);
  check_conv({6, 5, 1, 3, 2, 3, 7, true}, Past::kNone, Residual::kInPlace);
  check_conv({8, 8, 1, 1, 2, 3, 3, true});
  check_conv({8, 16, 3, 3, 2, 4, 3, true}, Past::kApart);
}

// Frames leave the decoder rounded once only.
TEST_P(Conv3dCudaParity, Float32Results) {
  check_conv({96, 3, 3, 3, 2, 9, 20}, Past::kApart, Residual::kNone, DType::kF32);
  check_conv({16, 24, 1, 3, 2, 5, 6}, Past::kNone, Residual::kInPlace, DType::kF32);
}

// Many blocks, and channels that a stage of 32 and a tile of 96 divide.
TEST_P(Conv3dCudaParity, SeveralTiles) {
  check_conv({64, 192, 3, 3, 2, 20, 33}, Past::kAdjacent, Residual::kInPlace);
}

TEST_P(Conv3dCudaParity, ActivationsOfAnotherType) {
  const Mirrored weight = random({8, 16, 1, 1, 1}, 6, dtype());
  const Mirrored bias = random({8}, 7, DType::kF32);
  const Mirrored x = random({2, 3, 4, 16}, 8, dtype());
  Tensor floats(context_->allocator(), DType::kF32, x.host.shape());
  ops().copy(x.device, floats);
  const auto packed = ops().pack_conv3d({.weight = weight.device, .bias = bias.device});
  Mirrored plain = poisoned({2, 3, 4, 8}, dtype()), converted = poisoned({2, 3, 4, 8}, dtype());
  ops().conv3d({.x = x.device, .weights = packed.get(), .y = plain.device});
  ops().conv3d({.x = floats, .weights = packed.get(), .y = converted.device});
  EXPECT_EQ(values(converted.device), values(plain.device));
}

// A checkpoint's float32 weights are rounded once.
TEST_P(Conv3dCudaParity, WeightsOfAnotherType) {
  const Mirrored weight = random({16, 24, 1, 3, 3}, 9, DType::kF32, 0.3);
  const Mirrored bias = random({16}, 10, DType::kF32);
  const Mirrored x = random({2, 5, 6, 24}, 11, dtype());
  for (const bool upsample : {false, true}) {
    const std::int64_t factor = upsample ? 2 : 1;
    const Shape out_shape = {2, 5 * factor, 6 * factor, 16};
    const Conv3dArgs host{.x = x.host, .upsample = upsample, .y = {}};
    const auto truth = reference::conv3d<double>(host, {weight.host, bias.host});
    Tensor rounded_weight(host_memory_, dtype(), weight.host.shape());
    for (std::int64_t i = 0; i < weight.host.shape().num_elements(); ++i)
      store(rounded_weight.view(), i, weight.host.view().data<float>()[i]);
    const auto naive = reference::conv3d<float>(host, {rounded_weight, bias.host});
    for (Ops* const the_ops : {&ops(), &portable_ops()}) {
      Mirrored y = poisoned(out_shape, dtype());
      fixture_done();
      const auto packed = the_ops->pack_conv3d({.weight = weight.device, .bias = bias.device});
      the_ops->conv3d(
          {.x = x.device, .weights = packed.get(), .upsample = upsample, .y = y.device});
      the_ops->context().runtime()->synchronize();
      expect_close(values(y.device), truth, rounded(naive, dtype()),
                   upsample ? "doubled" : "not doubled");
    }
  }
}

// Chunks joined by their context give what the whole clip gives.
TEST_P(Conv3dCudaParity, ChunksEqualTheWhole) {
  const Mirrored weight = random({16, 16, 3, 3, 3}, 12, dtype(), 0.3);
  const Mirrored bias = random({16}, 13, DType::kF32);
  const Mirrored x = random({6, 7, 5, 16}, 14, dtype());
  const Conv3dArgs host{.x = x.host, .y = {}};
  const PackConv3dArgs host_weights{weight.host, bias.host};
  const auto truth = reference::conv3d<double>(host, host_weights);
  const auto naive = rounded(reference::conv3d<float>(host, host_weights), dtype());
  for (Ops* const the_ops : {&ops(), &portable_ops()}) {
    Mirrored y = poisoned({6, 7, 5, 16}, dtype());
    fixture_done();
    const auto packed = the_ops->pack_conv3d({.weight = weight.device, .bias = bias.device});
    const ConstTensorView frames = x.device.view();
    the_ops->conv3d(
        {.x = frames.slice(0, 0, 2), .weights = packed.get(), .y = y.device.view().slice(0, 0, 2)});
    for (std::int64_t frame = 2; frame < 6; ++frame)
      the_ops->conv3d({.x = frames.slice(0, frame, frame + 1),
                       .context = frames.slice(0, frame - 2, frame),
                       .weights = packed.get(),
                       .y = y.device.view().slice(0, frame, frame + 1)});
    the_ops->context().runtime()->synchronize();
    expect_close(values(y.device), truth, naive, "parts");
  }
}

PSAGEN_CUDA_PARITY(Conv3dCudaParity);

}  // namespace
}  // namespace psagen::kernels
