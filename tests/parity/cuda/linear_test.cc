#include "kernels/reference/linear.h"

#include "tests/parity/cuda/cuda_parity.h"

namespace psagen::kernels {
namespace {

constexpr DType kRealTypes[] = {DType::kF32, DType::kBF16, DType::kF16};

class CudaLinearParity : public CudaParity {
 protected:
  // Of one call; a tensor left empty is not given.
  struct Operands {
    Mirrored x, weight, bias, residual, y;
    Activation activation = Activation::kNone;
  };

  static LinearArgs args_of(Operands& o, Tensor Mirrored::*side) {
    return {.x = o.x.*side,
            .weight = o.weight.*side,
            .bias = o.bias.*side,
            .activation = o.activation,
            .residual = o.residual.*side,
            .y = o.y.*side};
  }

  // Against the reference; then the second and the third call, both of the plan that the first one
  // made, must give the same bits. A float32 bias of a 16-bit y is rounded to y's type first:
  // within the tolerance, since y itself is.
  void check(Operands& o, const std::string& what) {
    const DType type = o.y.device.view().dtype();
    const LinearArgs host = args_of(o, &Mirrored::host), device = args_of(o, &Mirrored::device);
    ops().linear(device);
    expect_close(values(o.y.device), reference::linear<double>(host),
                 rounded(reference::linear<float>(host), type), what);
    ops().linear(device);
    const std::vector<double> second = values(o.y.device);
    ops().linear(device);
    EXPECT_EQ(second, values(o.y.device)) << what;
  }

  std::vector<DType> output_types() const {
    if (dtype() == DType::kF32) return {DType::kF32};
    return {dtype(), DType::kF32};
  }
};

TEST_P(CudaLinearParity, EverySizeActivationAndOutputType) {
  struct Size {
    std::int64_t rows, depth, columns;
  };
  const Size sizes[] = {{1, 256, 1536}, {1, 1, 1},    {2, 7, 5},      {3, 96, 130},  {15, 33, 64},
                        {16, 64, 9},    {17, 64, 9},  {31, 5, 3},     {200, 96, 70}, {385, 25, 515},
                        {193, 16, 513}, {20, 300, 1}, {50, 1024, 35}, {130, 72, 136}};
  std::uint64_t seed = 1;
  for (const Size& size : sizes) {
    for (const DType type : output_types()) {
      for (const Activation activation :
           {Activation::kNone, Activation::kGeluTanh, Activation::kSilu}) {
        Operands o;
        o.x = random({1, size.rows, size.depth}, ++seed, dtype());
        o.weight = random({size.columns, size.depth}, ++seed, dtype(), 0.2);
        ++seed;
        o.bias = random({size.columns}, seed, seed % 2 == 0 ? DType::kF32 : dtype());
        o.activation = activation;
        o.y = poisoned({1, size.rows, size.columns}, type);
        const std::string what =
            concat(size.rows, " x ", size.depth, " x ", size.columns, " to ", dtype_name(type),
                   " activation ", static_cast<int>(activation), " seed ", seed);
        check(o, what);
        o.bias = {};
        check(o, what + " no bias");
      }
    }
  }
}

TEST_P(CudaLinearParity, FewRowsOfEveryTypeByWeightsOfEveryType) {
  std::uint64_t seed = 50;
  for (const DType x_type : kRealTypes) {
    for (const DType weight_type : kRealTypes) {
      for (const std::int64_t rows : {1, 3, 7, 16}) {
        for (const std::int64_t depth : {256, 100}) {
          Operands o;
          o.x = random({1, rows, depth}, ++seed, x_type);
          o.weight = random({74, depth}, ++seed, weight_type, 0.2);
          ++seed;
          o.bias = random({74}, seed, seed % 2 == 0 ? DType::kF32 : weight_type);
          o.activation = rows == 3 ? Activation::kGeluTanh : Activation::kSilu;
          o.y = poisoned({1, rows, 74}, seed % 3 == 0 ? dtype() : DType::kF32);
          const std::string what = concat(dtype_name(x_type), " x ", dtype_name(weight_type),
                                          " rows ", rows, " depth ", depth, " seed ", seed);
          check(o, what);
          o.activation = Activation::kNone;
          o.residual = random({1, rows, 74}, ++seed, DType::kF32);
          check(o, what + " residual");
        }
      }
    }
  }
}

TEST_P(CudaLinearParity, ManyRowsOfAnotherTypeAreRefused) {
  const DType other = dtype() == DType::kF32 ? DType::kBF16 : DType::kF32;
  Operands o;
  o.x = random({1, 17, 32}, 60, other);
  o.weight = random({8, 32}, 61, dtype());
  o.y = poisoned({1, 17, 8}, DType::kF32);
  try {
    ops().linear(args_of(o, &Mirrored::device));
    ADD_FAILURE() << "no error thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported) << error.message();
  }
}

TEST_P(CudaLinearParity, ResidualOfEachBatch) {
  std::uint64_t seed = 100;
  for (const std::int64_t rows : {1, 4, 40, 230}) {
    for (const DType type : output_types()) {
      for (const DType residual_type : output_types()) {
        Operands o;
        o.x = random({2, rows, 48}, ++seed, dtype());
        o.weight = random({72, 48}, ++seed, dtype());
        o.bias = random({72}, ++seed, DType::kF32);
        o.residual = random({2, rows, 72}, ++seed, residual_type);
        o.y = poisoned({2, rows, 72}, type);
        check(o, concat(dtype_name(residual_type), " + ", dtype_name(type), " rows ", rows,
                        " seed ", seed));
      }
    }
  }
}

TEST_P(CudaLinearParity, ResidualInPlace) {
  std::uint64_t seed = 200;
  for (const std::int64_t rows : {3, 250}) {
    for (const DType type : output_types()) {
      Operands o;
      o.x = random({1, rows, 40}, ++seed, dtype());
      o.weight = random({600, 40}, ++seed, dtype());
      o.residual = random({1, rows, 600}, ++seed, type);
      o.y = poisoned({1, rows, 600}, type);
      const LinearArgs host = args_of(o, &Mirrored::host);
      LinearArgs device = args_of(o, &Mirrored::device);
      device.residual = o.y.device;
      ops().copy(o.residual.device, o.y.device);
      ops().linear(device);
      expect_close(values(o.y.device), reference::linear<double>(host),
                   rounded(reference::linear<float>(host), type),
                   concat("in place, rows ", rows, " ", dtype_name(type)));
    }
  }
}

TEST_P(CudaLinearParity, RowsOfWiderTensorsLeaveTheRestAlone) {
  for (const std::int64_t rows : {5, 64}) {
    for (const DType type : output_types()) {
      // Odd offsets first, then ones that every vector access allows.
      for (const std::int64_t offset : {13, 16}) {
        const Mirrored wide_x = random({2, rows + 3, 96}, 11, dtype());
        const Mirrored weight = random({32, 48}, 12, dtype());
        Mirrored wide_y = poisoned({2, rows + 1, 80}, type);
        const auto x = [&](const ConstTensorView& view) {
          return view.slice(1, 2, 2 + rows).slice(2, offset, offset + 48);
        };
        const TensorView y =
            wide_y.device.view().slice(1, 1, 1 + rows).slice(2, offset, offset + 32);
        const LinearArgs host{.x = x(wide_x.host),
                              .weight = weight.host,
                              .y = wide_y.host.view().slice(1, 0, rows).slice(2, 0, 32)};
        const std::string what = concat("rows ", rows, " offset ", offset, " ", dtype_name(type));
        ops().linear({.x = x(wide_x.device), .weight = weight.device, .y = y});
        expect_close(values(y), reference::linear<double>(host),
                     rounded(reference::linear<float>(host), type), what);
        const std::vector<double> all = values(wide_y.device);
        for (std::size_t i = 0; i < all.size(); ++i) {
          const auto column = static_cast<std::int64_t>(i % 80);
          const auto row = static_cast<std::int64_t>(i) / 80 % (rows + 1);
          const bool written = row >= 1 && column >= offset && column < offset + 32;
          ASSERT_NE(std::isnan(all[i]), written) << what << " at " << i;
        }
      }
    }
  }
}

TEST_P(CudaLinearParity, TwoDimensions) {
  for (const std::int64_t rows : {3, 33}) {
    Operands o;
    o.x = random({rows, 20}, 21, dtype());
    o.weight = random({11, 20}, 22, dtype());
    o.y = poisoned({rows, 11}, dtype());
    check(o, concat("[N, K], rows ", rows));
    o.residual = random({rows, 11}, 24, dtype());
    check(o, concat("[N, K] and a residual, rows ", rows));
  }
}

// Large enough for algorithms to be timed at the first call, which must not disturb its result.
// Some have rows that not every algorithm can read or write.
TEST_P(CudaLinearParity, MeasuredProducts) {
  enum class Kind { kPlain, kInPlace, kGelu };
  struct Size {
    std::int64_t rows, depth, columns;
  };
  const Size sizes[] = {{1800, 191, 1531},
                        {1800, 191, 1536},
                        {1800, 192, 1531},
                        {1800, 192, 1536},
                        {330, 1104, 1536}};
  std::uint64_t seed = 30;
  for (const DType type : output_types()) {
    for (const Kind kind : {Kind::kPlain, Kind::kInPlace, Kind::kGelu}) {
      for (const auto& [rows, depth, columns] : sizes) {
        // Sums of the matrix units are cut off to float32, not rounded: a float32 result of this
        // depth is off by 1.0e-6 (root mean square), sums in order by 2.4e-7. 16 bits hide it.
        if (depth > 1000 && type != dtype()) continue;
        Operands o;
        o.x = random({1, rows, depth}, ++seed, dtype());
        o.weight = random({columns, depth}, ++seed, dtype(), 0.1);
        o.bias = random({columns}, ++seed, type);
        if (kind == Kind::kInPlace) o.residual = random({1, rows, columns}, ++seed, type);
        if (kind == Kind::kGelu) o.activation = Activation::kGeluTanh;
        o.y = poisoned({1, rows, columns}, type);
        const LinearArgs host = args_of(o, &Mirrored::host);
        LinearArgs device = args_of(o, &Mirrored::device);
        if (kind == Kind::kInPlace) device.residual = o.y.device;
        const auto run = [&] {
          if (kind == Kind::kInPlace) ops().copy(o.residual.device, o.y.device);
          ops().linear(device);
          return values(o.y.device);
        };
        const std::string what = concat("kind ", static_cast<int>(kind), " to ", dtype_name(type),
                                        ", ", rows, " x ", depth, " x ", columns);
        expect_close(run(), reference::linear<double>(host),
                     rounded(reference::linear<float>(host), type), what);
        EXPECT_EQ(run(), run()) << what;
      }
    }
  }
}

PSAGEN_CUDA_PARITY(CudaLinearParity);

}  // namespace
}  // namespace psagen::kernels
