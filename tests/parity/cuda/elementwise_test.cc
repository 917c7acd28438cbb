#include <numeric>

#include "kernels/reference/activation.h"
#include "kernels/reference/patches.h"
#include "kernels/reference/pixels.h"
#include "tests/parity/cuda/cuda_parity.h"

namespace psagen::kernels {
namespace {

constexpr DType kRealTypes[] = {DType::kF32, DType::kBF16, DType::kF16};

class CudaElementwiseParity : public CudaParity {
 protected:
  std::vector<DType> types() const {
    if (dtype() == DType::kF32) return {DType::kF32};
    return {dtype(), DType::kF32};
  }

  Tensor on_host(Shape shape, DType type) { return Tensor(host_memory_, type, shape); }
};

TEST_P(CudaElementwiseParity, Activations) {
  for (const std::int64_t width : {1, 7, 8, 9, 31, 64, 255, 1000, 4099}) {
    for (const DType in : types()) {
      for (const DType out : types()) {
        const Mirrored x = random({40, width}, static_cast<std::uint64_t>(width), in, 8.0);
        Mirrored y = poisoned({40, width}, out);
        for (const Activation activation :
             {Activation::kNone, Activation::kGeluTanh, Activation::kSilu}) {
          ops().activate(x.device, activation, y.device);
          expect_close(values(y.device), reference::activate<double>(x.host.view(), activation),
                       rounded(reference::activate<float>(x.host.view(), activation), out),
                       concat("width ", width, " ", dtype_name(in), " to ", dtype_name(out),
                              " activation ", static_cast<int>(activation)));
        }
      }
    }
  }
}

TEST_P(CudaElementwiseParity, ActivationsSaturate) {
  const float extremes[] = {-1e30f, -200.0f, -90.0f, -20.0f, 0.0f, 20.0f, 90.0f, 1e30f};
  Tensor host = on_host({8}, DType::kF32);
  std::copy_n(extremes, 8, host.view().data<float>());
  const Mirrored x = on_both(std::move(host));
  Mirrored y = poisoned({8}, DType::kF32);
  for (const Activation activation : {Activation::kGeluTanh, Activation::kSilu}) {
    ops().activate(x.device, activation, y.device);
    const std::vector<double> got = values(y.device);
    for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(got[i], 0.0, 1e-7) << extremes[i];
    for (std::size_t i = 4; i < 8; ++i) EXPECT_FLOAT_EQ(static_cast<float>(got[i]), extremes[i]);
  }
}

TEST_P(CudaElementwiseParity, GeluGate) {
  for (const std::int64_t width : {5, 16, 1000, 40001}) {
    for (const DType type : types()) {
      // The two halves of one buffer.
      const Mirrored pair = random({3, 2 * width}, 2, type, 4.0);
      const auto half = [width](const auto& view, std::int64_t index) {
        return view.slice(1, index * width, (index + 1) * width);
      };
      Mirrored y = poisoned({3, width}, type), other = poisoned({3, width}, type);
      const GeluGateArgs host{
          .gate = half(pair.host.view(), 0), .up = half(pair.host.view(), 1), .y = y.host};
      const GeluGateArgs device{
          .gate = half(pair.device.view(), 0), .up = half(pair.device.view(), 1), .y = y.device};
      const auto truth = reference::gelu_gate<double>(host);
      const auto naive = rounded(reference::gelu_gate<float>(host), type);
      const std::string what = concat("width ", width, " ", dtype_name(type));
      ops().gelu_gate(device);
      expect_close(values(y.device), truth, naive, what);
      ops().copy(device.gate, y.device);
      ops().copy(device.up, other.device);
      ops().gelu_gate({.gate = y.device, .up = other.device, .y = y.device});
      expect_close(values(y.device), truth, naive, what + " in place of the gate");
      ops().copy(device.gate, other.device);
      ops().copy(device.up, y.device);
      ops().gelu_gate({.gate = other.device, .up = y.device, .y = y.device});
      expect_close(values(y.device), truth, naive, what + " in place of up");
    }
  }
}

TEST_P(CudaElementwiseParity, LinearCombination) {
  for (const std::int64_t width : {1, 7, 257, 264, 70001}) {
    for (const DType out : types()) {
      const Mirrored a = random({2, width}, 3, out), b = random({2, width}, 4, DType::kF32);
      const Mirrored wide = random({2, width + 8}, 5, dtype());
      const auto part = [width](const auto& view) { return view.slice(1, 3, 3 + width); };
      const double coefficients[] = {1.75, -0.3333333, 1e-3};
      const ConstTensorView hosts[] = {a.host, b.host, part(wide.host.view())};
      std::vector<double> truth(static_cast<std::size_t>(2 * width));
      std::vector<float> naive(truth.size());
      for (std::size_t term = 0; term < 3; ++term) {
        const auto x = reference::elements<double>(hosts[term]);
        for (std::size_t i = 0; i < truth.size(); ++i) {
          truth[i] += coefficients[term] * x[i];
          naive[i] += static_cast<float>(coefficients[term]) * static_cast<float>(x[i]);
        }
      }
      Mirrored y = poisoned({2, width}, out);
      const LinearTerm terms[] = {{coefficients[0], a.device},
                                  {coefficients[1], b.device},
                                  {coefficients[2], part(wide.device.view())}};
      const std::string what = concat("width ", width, " ", dtype_name(out));
      ops().linear_combination(terms, y.device);
      expect_close(values(y.device), truth, rounded(naive, out), what);
      ops().copy(a.device, y.device);
      const LinearTerm in_place[] = {{coefficients[0], y.device}, terms[1], terms[2]};
      ops().linear_combination(in_place, y.device);
      expect_close(values(y.device), truth, rounded(naive, out), what + " in place");
    }
  }
}

TEST_P(CudaElementwiseParity, ZeroTimesAnythingIsZero) {
  Mirrored x = poisoned({3, 5}, dtype()), y = poisoned({3, 5}, dtype());
  const LinearTerm nothing{0.0, x.device};
  ops().linear_combination({&nothing, 1}, y.device);
  for (const double value : values(y.device)) EXPECT_EQ(value, 0.0);
}

TEST_P(CudaElementwiseParity, Embedding) {
  for (const DType from : kRealTypes) {
    for (const DType to : types()) {
      for (const std::int64_t width : {33, 64}) {
        const Mirrored table = random({50, width}, 6, from);
        std::vector<std::int32_t> ids;
        for (std::int32_t i = 0; i < 700; ++i) ids.push_back(i * 7 % 50);
        Mirrored y = poisoned({700, width}, to);
        ops().embedding({.ids = ids, .table = table.device, .y = y.device});
        const std::vector<std::int32_t> asked = ids;
        std::fill(ids.begin(), ids.end(), 0);  // the caller's own again
        const auto rows = reference::elements<double>(table.host.view());
        std::vector<double> wanted;
        for (const std::int32_t id : asked)
          wanted.insert(wanted.end(), rows.begin() + id * width, rows.begin() + (id + 1) * width);
        EXPECT_EQ(values(y.device), rounded(wanted, to))
            << dtype_name(from) << " to " << dtype_name(to) << " width " << width;
      }
    }
  }
}

TEST_P(CudaElementwiseParity, CopyBetweenAnyStridesAndTypes) {
  struct Layout {
    const char* name;
    Shape shape;
    Strides strides;
  };
  // Of [4, 5, 6, 8]: as it is, axes in reverse, channels first to last and back, two axes swapped.
  const Layout layouts[] = {{"plain", {4, 5, 6, 8}, {240, 48, 8, 1}},
                            {"reversed", {8, 6, 5, 4}, {1, 8, 48, 240}},
                            {"channels last", {4, 6, 8, 5}, {240, 8, 1, 48}},
                            {"channels first", {4, 8, 5, 6}, {240, 1, 48, 8}},
                            {"swapped", {5, 4, 6, 8}, {48, 240, 8, 1}},
                            {"every other", {4, 5, 6, 4}, {240, 48, 8, 2}},
                            {"backwards", {4, 5, 6, 8}, {240, 48, 8, 1}}};
  for (const DType from : kRealTypes) {
    const Mirrored source = random({4, 5, 6, 8}, 8, from);
    for (const DType to : kRealTypes) {
      for (const Layout& layout : layouts) {
        for (const std::int64_t offset : {2, 8}) {
          Strides strides = layout.strides;
          std::size_t first = 0;
          if (layout.name == std::string("backwards")) {
            strides[1] = -48;
            first = 4 * 48 * dtype_size(from);
          }
          const auto view = [&](const ConstTensorView& whole) {
            return ConstTensorView(whole.bytes() + first, from, layout.shape, strides,
                                   whole.device());
          };
          Shape wide_shape = layout.shape;
          wide_shape[3] += 16;
          Mirrored wide = poisoned(wide_shape, to);
          const TensorView y = wide.device.view().slice(3, offset, offset + layout.shape[3]);
          const std::string what = concat(layout.name, " ", dtype_name(from), " to ",
                                          dtype_name(to), " offset ", offset);
          ops().copy(view(source.device.view()), y);
          // Every element, those around the part too.
          Tensor wanted = on_host(wide_shape, to);
          std::memset(wanted.view().bytes(), 0xff, wanted.view().num_bytes());
          const auto elements = reference::elements<double>(view(source.host.view()));
          const std::int64_t width = layout.shape[3], wide_width = width + 16;
          for (std::size_t i = 0; i < elements.size(); ++i) {
            const auto at = static_cast<std::int64_t>(i);
            store(wanted.view(), at / width * wide_width + offset + at % width,
                  static_cast<float>(elements[i]));
          }
          Tensor got = on_host(wide_shape, to);
          ops().copy(wide.device, got);
          ASSERT_EQ(std::memcmp(got.view().bytes(), wanted.view().bytes(), got.view().num_bytes()),
                    0)
              << what;
        }
      }
    }
  }
}

// Larger than a tile in both directions, and not a multiple of one.
TEST_P(CudaElementwiseParity, CopyTurnsLargeMatrices) {
  const Mirrored source = random({2, 131, 1057}, 18, dtype());
  const auto turned = [](const ConstTensorView& view) {
    return ConstTensorView(view.bytes(), view.dtype(), {2, 1057, 131}, {131 * 1057, 1, 1057},
                           view.device());
  };
  for (const DType to : types()) {
    Mirrored y = poisoned({2, 1057, 131}, to);
    ops().copy(turned(source.device.view()), y.device);
    EXPECT_EQ(values(y.device),
              rounded(reference::elements<double>(turned(source.host.view())), to));
  }
}

TEST_P(CudaElementwiseParity, CopyRepeatsAndOverlaps) {
  // Row i of the view is the diagonal that ends at i: steps -1 and 1 over the same elements.
  const Mirrored diagonals = random({3, 21}, 19, dtype());
  const auto band = [](const ConstTensorView& view) {
    const ConstTensorView first = view.slice(1, 10, 21);
    return ConstTensorView(first.bytes(), view.dtype(), {3, 11, 11}, {21, -1, 1}, view.device());
  };
  Mirrored y = poisoned({3, 11, 11}, DType::kF32);
  ops().copy(band(diagonals.device.view()), y.device);
  EXPECT_EQ(values(y.device), reference::elements<double>(band(diagonals.host.view())));
  const auto repeated = [](const ConstTensorView& view) {
    return ConstTensorView(view.bytes(), view.dtype(), {3, 4, 21}, {21, 0, 1}, view.device());
  };
  Mirrored copies = poisoned({3, 4, 21}, dtype());
  ops().copy(repeated(diagonals.device.view()), copies.device);
  EXPECT_EQ(values(copies.device), reference::elements<double>(repeated(diagonals.host.view())));
}

TEST_P(CudaElementwiseParity, CopyBetweenHostAndDevice) {
  for (const DType host_type : kRealTypes) {
    const Mirrored source = random({3, 5, 14}, 20, host_type);
    // Up, converted into a part of wider rows.
    Mirrored wide = poisoned({3, 5, 20}, dtype());
    const TensorView part = wide.device.view().slice(2, 3, 17);
    ops().copy(source.host, part);
    const auto wanted = rounded(reference::elements<double>(source.host.view()), dtype());
    EXPECT_EQ(values(part), wanted) << dtype_name(host_type);
    // And down again.
    Tensor back = on_host({3, 5, 14}, host_type);
    ops().copy(part, back);
    EXPECT_EQ(reference::elements<double>(back), rounded(wanted, host_type))
        << dtype_name(host_type);
  }
  Tensor a = on_host({4}, dtype()), b = on_host({4}, dtype());
  try {
    ops().copy(a, b);
    ADD_FAILURE() << "no error thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument) << error.message();
  }
}

TEST_P(CudaElementwiseParity, CopyOfOtherTypes) {
  for (const DType type : {DType::kU8, DType::kI32, DType::kI64, DType::kF64}) {
    Tensor source = on_host({5, 7}, type);
    auto* const bytes = reinterpret_cast<std::uint8_t*>(source.view().bytes());
    std::iota(bytes, bytes + source.view().num_bytes(), std::uint8_t{200});
    const Mirrored x = on_both(std::move(source));
    Tensor turned(context_->allocator(), type, {7, 5});
    const ConstTensorView view(x.device.view().bytes(), type, {7, 5}, {1, 7},
                               x.device.view().device());
    ops().copy(view, turned);
    Tensor back(context_->allocator(), type, {5, 7}), got = on_host({5, 7}, type);
    ops().copy(ConstTensorView(turned.view().bytes(), type, {5, 7}, {1, 5}, view.device()), back);
    ops().copy(back, got);
    EXPECT_EQ(std::memcmp(got.view().bytes(), x.host.view().bytes(), got.view().num_bytes()), 0)
        << dtype_name(type);
  }
}

TEST_P(CudaElementwiseParity, PatchesInRasterAndInGivenOrder) {
  const Shape shape = {2, 3, 4, 6, 10};
  const std::int64_t tokens = 4 * 3 * 5;
  Tensor order_values = on_host({tokens}, DType::kI32);
  for (std::int64_t i = 0; i < tokens; ++i)
    order_values.view().data<std::int32_t>()[i] = static_cast<std::int32_t>(i * 7 % tokens);
  const Mirrored order = on_both(std::move(order_values));
  for (const bool ordered : {false, true}) {
    for (const DType type : types()) {
      const Mirrored latent = random(shape, 10, DType::kF32);
      Mirrored wide = poisoned({2, tokens, 15}, type);
      const TensorView patches = wide.device.view().slice(2, 1, 13);
      PatchifyArgs host{.latent = latent.host, .tokens = wide.host.view().slice(2, 1, 13)};
      PatchifyArgs device{.latent = latent.device, .tokens = patches};
      if (ordered) host.order = order.host;
      if (ordered) device.order = order.device;
      ops().patchify(device);
      EXPECT_EQ(values(patches), rounded(reference::patchify(host), type)) << dtype_name(type);
      const std::vector<double> all = values(wide.device);
      for (std::size_t i = 0; i < all.size(); ++i)
        ASSERT_EQ(std::isnan(all[i]), i % 15 == 0 || i % 15 >= 13) << i;
      const Mirrored outputs = random({2, tokens, 12}, 11, type);
      Mirrored velocity = poisoned(shape, DType::kF32);
      const UnpatchifyArgs host_back{
          .tokens = outputs.host, .order = host.order, .latent = velocity.host};
      ops().unpatchify(
          {.tokens = outputs.device, .order = device.order, .latent = velocity.device});
      EXPECT_EQ(values(velocity.device), rounded(reference::unpatchify(host_back), DType::kF32))
          << dtype_name(type);
    }
  }
}

TEST_P(CudaElementwiseParity, CountsWhatIsNotFinite) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  Tensor counted = on_host({1}, DType::kI32);
  for (const DType type : types())
    for (const std::int64_t width : {1, 7, 16, 33, 40000})
      for (const std::int64_t offset : {1, 8}) {  // in a row of 16 more; the second one is aligned
        const std::string what = concat("width ", width, " ", dtype_name(type), " offset ", offset);
        const auto part = [&](const auto& view) {
          return view.slice(1, 0, 3).slice(2, offset, offset + width);
        };
        const auto at = [&](std::int64_t batch, std::int64_t row, std::int64_t column) {
          return (batch * 4 + row) * (width + 16) + offset + column;
        };
        // NaN all around the part.
        Mirrored x = poisoned({2, 4, width + 16}, type);
        const Mirrored sound =
            random({6, width}, 21, DType::kF32, type == DType::kF16 ? 65504.0 : 3e38);
        for (std::int64_t row = 0; row < 6; ++row)
          for (std::int64_t i = 0; i < width; ++i)
            store(x.host.view(), at(row / 3, row % 3, i),
                  sound.host.view().data<float>()[row * width + i]);
        Tensor counter(context_->allocator(), DType::kI32, {1});
        counted.view().data<std::int32_t>()[0] = 5;
        ops().copy(counted, counter);
        const auto count = [&](const ConstTensorView& view) {
          ops().count_nonfinite(view, counter);
          ops().copy(counter, counted);
          return counted.view().data<std::int32_t>()[0];
        };
        ops().copy(x.host, x.device);
        EXPECT_EQ(count(part(x.device.view())), 5) << what;
        store(x.host.view(), at(0, 0, 0), kInfinity);
        store(x.host.view(), at(0, 2, 0), std::numeric_limits<float>::quiet_NaN());
        store(x.host.view(), at(1, 2, width - 1), -kInfinity);
        ops().copy(x.host, x.device);
        EXPECT_EQ(count(part(x.device.view())), 8) << what;
        Tensor packed(context_->allocator(), type, {2, 3, width});
        ops().copy(part(x.device.view()), packed);
        EXPECT_EQ(count(packed.view()), 11) << what << ", contiguous";
        EXPECT_EQ(count(x.device.view()), 11 + 3 + 2 * 4 * 16 + 2 * width) << what << ", all";
      }
}

TEST_P(CudaElementwiseParity, PixelLevels) {
  for (const DType type : types()) {
    Tensor pixels = on_host({2, 37, 41, 3}, type);
    const Mirrored noise = random({2, 37, 41, 3}, 12, DType::kF32, 1.2);
    for (std::int64_t i = 0; i < noise.host.view().num_elements(); ++i) {
      float value = noise.host.view().data<float>()[i];
      // Halves between two levels, where they are exact, and the ends.
      if (i < 255) value = (static_cast<float>(i) + 0.5f) / 127.5f - 1.0f;
      if (i == 255) value = -0.0f;
      if (i == 256) value = 1.0f;
      if (i == 257) value = -1.0f;
      store(pixels.view(), i, value);
    }
    const Mirrored x = on_both(std::move(pixels));
    Tensor rgb(context_->allocator(), DType::kU8, {2, 37, 41, 3});
    Tensor got = on_host({2, 37, 41, 3}, DType::kU8);
    ops().to_rgb8({.x = x.device, .rgb = rgb});
    ops().copy(rgb, got);
    const auto wanted = reference::to_rgb8({.x = x.host, .rgb = got});
    for (std::size_t i = 0; i < wanted.size(); ++i)
      ASSERT_EQ(got.view().data<std::uint8_t>()[i], wanted[i]) << dtype_name(type) << " at " << i;
  }
}

PSAGEN_CUDA_PARITY(CudaElementwiseParity);

}  // namespace
}  // namespace psagen::kernels
