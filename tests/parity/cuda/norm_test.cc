#include "kernels/reference/norm.h"

#include "kernels/reference/rms_norm_rope.h"
#include "tests/parity/cuda/cuda_parity.h"

namespace psagen::kernels {
namespace {

// Odd ones, ones of each way a row is shared among threads, and one past each of them.
constexpr std::int64_t kWidths[] = {2,   3,   15,  16,   17,   33,   64,   96,   100,
                                    255, 384, 514, 1536, 1540, 2501, 5120, 5124, 8192};

// Rows enough for the largest error of a formula to be more than luck.
std::int64_t rows_for(std::int64_t width) { return std::max<std::int64_t>(3, 2000 / width); }

class CudaNormParity : public CudaParity {
 protected:
  struct Types {
    DType in, out;
  };

  // Every way to mix float32 and the type of this suite.
  std::vector<Types> type_pairs() const {
    if (dtype() == DType::kF32) return {{DType::kF32, DType::kF32}};
    return {{dtype(), dtype()},
            {DType::kF32, dtype()},
            {dtype(), DType::kF32},
            {DType::kF32, DType::kF32}};
  }

  static std::string name(const Types& types) {
    return concat(dtype_name(types.in), " to ", dtype_name(types.out));
  }

  // Row `index` of [B, 6, width] as [B, width].
  static ConstTensorView row_of(const ConstTensorView& view, std::int64_t index) {
    const std::int64_t width = view.dim(2);
    const ConstTensorView row = view.slice(1, index, index + 1);
    return {row.bytes(), row.dtype(), {view.dim(0), width}, {6 * width, 1}, row.device()};
  }

  // Everything of `view` outside columns [begin, end) is still what poisoned() left.
  void expect_untouched(const ConstTensorView& view, std::int64_t begin, std::int64_t end,
                        const std::string& what) {
    const std::vector<double> all = values(view);
    for (std::size_t i = 0; i < all.size(); ++i) {
      const std::int64_t column = static_cast<std::int64_t>(i) % view.dim(-1);
      ASSERT_NE(std::isnan(all[i]), column >= begin && column < end) << what << " at " << i;
    }
  }
};

TEST_P(CudaNormParity, RmsNorm) {
  for (const std::int64_t width : kWidths) {
    for (const Types& types : type_pairs()) {
      const Shape shape = {2, rows_for(width), width};
      const Mirrored x = random(shape, 1, types.in, 20.0);
      const Mirrored gamma = random({width}, 2, width % 3 == 0 ? DType::kF32 : types.in);
      Mirrored y = poisoned(shape, types.out);
      const RmsNormArgs host{.x = x.host, .gamma = gamma.host, .y = y.host};
      ops().rms_norm({.x = x.device, .gamma = gamma.device, .y = y.device});
      expect_close(values(y.device), reference::rms_norm<double>(host),
                   rounded(reference::rms_norm<float>(host), types.out),
                   concat("width ", width, " ", name(types)));
    }
  }
}

TEST_P(CudaNormParity, RmsNormInPlaceOfPartOfARow) {
  for (const std::int64_t width : {37, 40, 9001}) {
    for (const std::int64_t begin : {8, 5}) {
      const Shape shape = {2, 5, width + 24};
      const Mirrored wide = random(shape, 3, dtype());
      const Mirrored gamma = random({width}, 4, DType::kF32);
      Mirrored y = poisoned(shape, dtype());
      const TensorView part = y.device.view().slice(2, begin, begin + width);
      ops().copy(wide.device.view().slice(2, begin, begin + width), part);
      ops().rms_norm({.x = part, .gamma = gamma.device, .y = part});
      const RmsNormArgs host{
          .x = wide.host.view().slice(2, begin, begin + width), .gamma = gamma.host, .y = {}};
      const std::string what = concat("width ", width, " from ", begin);
      expect_close(values(part), reference::rms_norm<double>(host),
                   rounded(reference::rms_norm<float>(host), dtype()), what);
      expect_untouched(y.device, begin, begin + width, what);
    }
  }
}

TEST_P(CudaNormParity, LayerNorm) {
  for (const std::int64_t width : kWidths) {
    for (const Types& types : type_pairs()) {
      const Shape shape = {2, rows_for(width), width};
      const Mirrored x = random(shape, 5, types.in, 4.0);
      const Mirrored gamma = random({width}, 6, DType::kBF16);
      const Mirrored beta = random({width}, 7, width % 2 == 0 ? DType::kF32 : DType::kF16);
      const Mirrored modulation = random({2, 6, width}, 8, width % 3 == 0 ? dtype() : DType::kF32);
      Mirrored y = poisoned(shape, types.out);
      LayerNormArgs host{.x = x.host, .y = y.host}, device{.x = x.device, .y = y.device};
      const auto check = [&](const char* what) {
        ops().layer_norm(device);
        expect_close(values(y.device), reference::layer_norm<double>(host),
                     rounded(reference::layer_norm<float>(host), types.out),
                     concat(what, ", width ", width, " ", name(types)));
      };
      check("plain");
      host.gamma = gamma.host;
      host.beta = beta.host;
      device.gamma = gamma.device;
      device.beta = beta.device;
      check("affine");
      host.scale = row_of(modulation.host, 1);
      host.shift = row_of(modulation.host, 0);
      device.scale = row_of(modulation.device, 1);
      device.shift = row_of(modulation.device, 0);
      check("affine and modulated");
      host.gamma = host.beta = device.gamma = device.beta = {};
      check("modulated");
    }
  }
}

TEST_P(CudaNormParity, LayerNormWithALargeMean) {
  for (const std::int64_t width : {512, 1000, 5120}) {
    Tensor values_in(host_memory_, DType::kF32, {1, 3, width});
    for (std::int64_t i = 0; i < 3 * width; ++i)
      values_in.view().data<float>()[i] = 1000.0f + static_cast<float>(i * 37 % 101) * 0.01f;
    const Mirrored x = on_both(std::move(values_in));
    Mirrored y = poisoned({1, 3, width}, dtype());
    const LayerNormArgs host{.x = x.host, .y = y.host};
    ops().layer_norm({.x = x.device, .y = y.device});
    expect_close(values(y.device), reference::layer_norm<double>(host),
                 rounded(reference::layer_norm<float>(host), dtype()),
                 concat("mean 1000, width ", width));
  }
}

TEST_P(CudaNormParity, ResidualNorm) {
  for (const std::int64_t width : kWidths) {
    for (const Types& types : type_pairs()) {
      const Shape shape = {2, rows_for(width), width};
      const Mirrored before = random(shape, 31, types.in, 4.0);
      const Mirrored y = random(shape, 32, dtype());
      const Mirrored gate = random({2, width}, 33, width % 3 == 0 ? dtype() : DType::kF32);
      const Mirrored modulation = random({2, 6, width}, 34, DType::kF32);
      Mirrored x = random(shape, 31, types.in, 4.0), h = poisoned(shape, types.out);
      ResidualNormArgs host{.x = x.host,
                            .y = y.host,
                            .scale = row_of(modulation.host, 4),
                            .shift = row_of(modulation.host, 3),
                            .h = h.host};
      ResidualNormArgs device{.x = x.device,
                              .y = y.device,
                              .scale = row_of(modulation.device, 4),
                              .shift = row_of(modulation.device, 3),
                              .h = h.device};
      for (const bool gated : {false, true}) {
        if (gated) host.gate = gate.host;
        if (gated) device.gate = gate.device;
        const std::string what = concat("width ", width, " ", name(types), gated ? " gated" : "");
        const auto truth = reference::residual_norm<double>(host);
        const auto naive = reference::residual_norm<float>(host);
        ops().copy(before.device, x.device);
        ops().residual_norm(device);
        expect_close(values(h.device), truth.h, rounded(naive.h, types.out), "h, " + what);
        expect_close(values(x.device), truth.x, rounded(naive.x, types.in), "x, " + what);
      }
    }
  }
}

TEST_P(CudaNormParity, ResidualNormOverwritingPartOfAWiderRow) {
  // y is the first third of wider rows, as a layer leaves it, and h overwrites it. Beyond 8192 a
  // row is read from memory again, where a 16-bit x is rounded.
  for (const std::int64_t width : {33, 96, 1536, 8200}) {
    const Mirrored before = random({1, 7, width}, 41, DType::kF32, 4.0);
    const Mirrored changes = random({1, 7, width}, 42, dtype());
    const Mirrored gamma = random({width}, 43, DType::kF32),
                   beta = random({width}, 44, DType::kF32);
    const Mirrored gate = random({1, width}, 45, DType::kF32);
    Mirrored x = random({1, 7, width}, 41, DType::kF32, 4.0);
    Mirrored wide = poisoned({1, 7, 3 * width}, dtype());
    const TensorView y = wide.device.view().slice(2, 0, width);
    ops().copy(changes.device, y);
    ops().residual_norm({.x = x.device,
                         .y = y,
                         .gate = gate.device,
                         .gamma = gamma.device,
                         .beta = beta.device,
                         .h = y});
    const ResidualNormArgs host{.x = x.host,
                                .y = changes.host,
                                .gate = gate.host,
                                .gamma = gamma.host,
                                .beta = beta.host,
                                .h = wide.host.view().slice(2, 0, width)};
    const auto truth = reference::residual_norm<double>(host);
    const auto naive = reference::residual_norm<float>(host);
    const std::string what = concat("width ", width);
    expect_close(values(y), truth.h, rounded(naive.h, dtype()), "h, " + what);
    expect_close(values(x.device), truth.x, rounded(naive.x, DType::kF32), "x, " + what);
    expect_untouched(wide.device, 0, width, what);
  }
}

TEST_P(CudaNormParity, ChannelNorm) {
  for (const std::int64_t width :
       {3, 12, 16, 20, 32, 64, 96, 100, 192, 255, 384, 640, 1022, 1024, 1030, 2048}) {
    for (const Types& types : type_pairs()) {
      const Shape shape = {2, 3, rows_for(width) + 1, width};
      const Mirrored x = random(shape, 11, types.in, 3.0);
      const Mirrored gamma = random({width}, 10, width % 3 == 0 ? DType::kF32 : DType::kBF16, 2.0);
      Mirrored y = poisoned(shape, types.out);
      for (const bool silu : {false, true}) {
        const ChannelNormArgs host{.x = x.host, .gamma = gamma.host, .silu = silu, .y = y.host};
        const auto truth = reference::channel_norm<double>(host);
        const auto naive = rounded(reference::channel_norm<float>(host), types.out);
        const std::string what = concat("width ", width, " ", name(types), silu ? " silu" : "");
        ops().channel_norm({.x = x.device, .gamma = gamma.device, .silu = silu, .y = y.device});
        expect_close(values(y.device), truth, naive, what);
        if (types.in != types.out) continue;
        ops().copy(x.device, y.device);
        ops().channel_norm({.x = y.device, .gamma = gamma.device, .silu = silu, .y = y.device});
        expect_close(values(y.device), truth, naive, what + " in place");
      }
    }
  }
}

TEST_P(CudaNormParity, ChannelNormOfZerosIsZero) {
  const Mirrored x = random({3, 40}, 12, dtype(), 0.0);
  const Mirrored gamma = random({40}, 13, DType::kF32);
  Mirrored y = poisoned({3, 40}, dtype());
  ops().channel_norm({.x = x.device, .gamma = gamma.device, .silu = true, .y = y.device});
  for (const double value : values(y.device)) EXPECT_EQ(value, 0.0);
}

TEST_P(CudaNormParity, RmsNormRope) {
  struct Heads {
    std::int64_t count, dim;
  };
  for (const Heads& heads : {Heads{3, 2}, Heads{3, 6}, Heads{3, 32}, Heads{3, 34}, Heads{3, 96},
                             Heads{12, 128}, Heads{9, 66}, Heads{40, 128}, Heads{66, 128}}) {
    const std::int64_t width = heads.count * heads.dim, tokens = 11;
    const Mirrored gamma = random({width}, 15, width % 3 == 0 ? DType::kF32 : DType::kBF16);
    const Mirrored cosines = random({tokens, heads.dim / 2}, 16, DType::kF32);
    const Mirrored sines = random({tokens, heads.dim / 2}, 17, DType::kF32);
    for (const Types& types : type_pairs()) {
      const Mirrored wide = random({2, tokens, 3 * width}, 14, types.in, 5.0);
      const auto middle = [&](const auto& view) { return view.slice(2, width, 2 * width); };
      Mirrored y = poisoned({2, tokens, heads.count, heads.dim}, types.out);
      const RmsNormRopeArgs host{.x = middle(wide.host.view()),
                                 .gamma = gamma.host,
                                 .rope_cos = cosines.host,
                                 .rope_sin = sines.host,
                                 .y = y.host};
      RmsNormRopeArgs device{.x = middle(wide.device.view()),
                             .gamma = gamma.device,
                             .rope_cos = cosines.device,
                             .rope_sin = sines.device,
                             .y = y.device};
      const auto truth = reference::rms_norm_rope<double>(host);
      const auto naive = rounded(reference::rms_norm_rope<float>(host), types.out);
      const std::string what = concat(heads.count, " heads of ", heads.dim, " ", name(types));
      ops().rms_norm_rope(device);
      expect_close(values(y.device), truth, naive, what);
      if (types.in != types.out) continue;
      Mirrored copy = poisoned({2, tokens, 3 * width}, types.in);
      const TensorView part = middle(copy.device.view());
      ops().copy(middle(wide.device.view()), part);
      device.x = part;
      device.y = part.split_last(heads.count, heads.dim);
      ops().rms_norm_rope(device);
      expect_close(values(part), truth, naive, what + " in place");
      expect_untouched(copy.device, width, 2 * width, what);
    }
  }
}

PSAGEN_CUDA_PARITY(CudaNormParity);

}  // namespace
}  // namespace psagen::kernels
