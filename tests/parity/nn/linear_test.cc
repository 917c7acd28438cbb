#include "kernels/reference/linear.h"

#include "tests/parity/nn/nn_parity.h"

namespace psagen::kernels {
namespace {

class LinearParity : public NnParity {
 protected:
  void check_linear(const LinearArgs& args, const std::string& what) {
    check([&](Ops& ops) { ops.linear(args); }, args.y, reference::linear<double>(args),
          reference::linear<float>(args), what);
  }
};

TEST_P(LinearParity, EverySizeAndWeightType) {
  struct Size {
    std::int64_t rows, depth, columns;
  };
  const Size sizes[] = {{1, 256, 1536}, {1, 1, 1},    {2, 7, 5},     {3, 100, 130}, {15, 33, 64},
                        {16, 64, 9},    {17, 64, 9},  {31, 5, 3},    {200, 96, 70}, {385, 25, 515},
                        {193, 16, 513}, {20, 300, 1}, {50, 1024, 35}};
  std::uint64_t seed = 1;
  const Activation activations[] = {Activation::kNone, Activation::kGeluTanh, Activation::kSilu};
  for (const Size& size : sizes) {
    for (std::size_t i = 0; i < kWeightTypes.size(); ++i) {
      const Tensor x = random({1, size.rows, size.depth}, ++seed);
      const Tensor weight = random({size.columns, size.depth}, ++seed, kWeightTypes[i], 0.2);
      const Tensor bias = random({size.columns}, ++seed, kWeightTypes[i]);
      Tensor y = empty({1, size.rows, size.columns});
      LinearArgs args{.x = x, .weight = weight, .activation = activations[i], .y = y};
      if (size.rows % 2 == 1) args.bias = bias;
      check_linear(args, concat(size.rows, " x ", size.depth, " x ", size.columns, " ",
                                dtype_name(kWeightTypes[i]), " seed ", seed));
    }
  }
}

TEST_P(LinearParity, ResidualOfEachBatch) {
  std::uint64_t seed = 100;
  for (const std::int64_t rows : {1, 4, 40, 230}) {
    const Tensor x = random({2, rows, 48}, ++seed);
    const Tensor weight = random({72, 48}, ++seed, DType::kBF16);
    const Tensor bias = random({72}, ++seed);
    const Tensor residual = random({2, rows, 72}, ++seed);
    Tensor y = empty({2, rows, 72});
    check_linear({.x = x, .weight = weight, .bias = bias, .residual = residual, .y = y},
                 concat("residual, rows ", rows, " seed ", seed));
  }
}

TEST_P(LinearParity, ResidualInPlace) {
  for (const std::int64_t rows : {3, 250}) {
    const Tensor x = random({1, rows, 40}, 7);
    const Tensor weight = random({600, 40}, 8, DType::kF16);
    const Tensor residual = random({1, rows, 600}, 9);
    Tensor y = empty({1, rows, 600});
    LinearArgs args{.x = x, .weight = weight, .residual = residual, .y = y};
    const auto truth = reference::linear<double>(args);
    const auto naive = reference::linear<float>(args);
    args.residual = y;
    check(
        [&](Ops& ops) {
          ops.copy(residual, y);
          ops.linear(args);
        },
        y, truth, naive, concat("in place, rows ", rows));
  }
}

TEST_P(LinearParity, RowsOfWiderTensors) {
  for (const std::int64_t rows : {5, 64}) {
    const Tensor wide_x = random({2, rows + 3, 90}, 11);
    Tensor wide_y = empty({2, rows + 1, 77});
    const Tensor weight = random({31, 45}, 12);
    const ConstTensorView x = wide_x.view().slice(1, 2, 2 + rows).slice(2, 13, 58);
    const TensorView y = wide_y.view().slice(1, 1, 1 + rows).slice(2, 3, 34);
    check_linear({.x = x, .weight = weight, .y = y}, concat("strided, rows ", rows));
  }
}

TEST_P(LinearParity, TwoDimensions) {
  const Tensor x = random({3, 20}, 21);
  const Tensor weight = random({11, 20}, 22);
  const Tensor residual = random({3, 11}, 24);
  Tensor y = empty({3, 11});
  check_linear({.x = x, .weight = weight, .residual = residual, .y = y}, "[B, K]");
}

PSAGEN_NN_PARITY_TARGETS(LinearParity);

}  // namespace
}  // namespace psagen::kernels
