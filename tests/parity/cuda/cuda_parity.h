// One fixture for the parity suites of the CUDA back end: the double-precision reference against
// the device, for every element type. Skips where there is no GPU.
//
// Tolerance: the root mean square of the op's error may be twice that of the naive method, which is
// the formula in float32 with its result rounded to the type of the output, and no element may be
// off by more than four times the naive method's worst. Where a naive method in that type rounds on
// the way too (the probabilities of attention), the test says so and passes its own naive values.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/reference/elements.h"

namespace psagen::kernels {

// A tensor on both sides; the device holds the same bits.
struct Mirrored {
  Tensor host, device;
};

class CudaParity : public testing::TestWithParam<DType> {
 protected:
  void SetUp() override {
    try {
      context_ = make_context({.device = {DeviceKind::kCuda, 0}, .compute_dtype = GetParam()});
      ops_ = make_ops(*context_);
    } catch (const Error& error) {
      GTEST_SKIP() << "needs a GPU: " << error.message();
    }
  }

  DType dtype() const { return GetParam(); }
  Ops& ops() { return *ops_; }

  // A second context whose kernels are the portable ones.
  Ops& portable_ops() {
    if (!portable_) {
      portable_context_ = make_context({.device = {DeviceKind::kCuda, 0},
                                        .compute_dtype = GetParam(),
                                        .portable_kernels = true});
      portable_ = make_ops(*portable_context_);
    }
    return *portable_;
  }

  // Values in [-scale, scale), the same for the same seed.
  Mirrored random(Shape shape, std::uint64_t seed, DType type, double scale = 1.0) {
    Tensor host(host_memory_, type, shape);
    std::uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
    for (std::int64_t i = 0; i < shape.num_elements(); ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      const double unit = static_cast<double>(state >> 40) / static_cast<double>(1 << 24);
      store(host.view(), i, static_cast<float>((2.0 * unit - 1.0) * scale));
    }
    return on_both(std::move(host));
  }

  Mirrored on_both(Tensor host) {
    Tensor device(context_->allocator(), host.view().dtype(), host.shape());
    ops_->copy(host, device);
    return {std::move(host), std::move(device)};
  }

  // Outputs start as NaN (0xff bytes) on the device: what an op leaves unwritten shows.
  Mirrored poisoned(Shape shape, DType type) {
    Tensor host(host_memory_, type, shape);
    std::memset(host.view().bytes(), 0xff, host.view().num_bytes());
    return on_both(std::move(host));
  }

  // The device's values; waits for the work queued so far.
  std::vector<double> values(ConstTensorView device) {
    Tensor packed(context_->allocator(), device.dtype(), device.shape());
    ops_->copy(device, packed);
    Tensor host(host_memory_, device.dtype(), device.shape());
    ops_->copy(packed, host);
    return reference::elements<double>(host);
  }

  // The device's bits; waits likewise.
  std::vector<std::byte> bytes(const Tensor& device) {
    Tensor host(host_memory_, device.view().dtype(), device.shape());
    ops_->copy(device, host);
    return {host.view().bytes(), host.view().bytes() + host.view().num_bytes()};
  }

  static void store(const TensorView& view, std::int64_t index, float value) {
    switch (view.dtype()) {
      case DType::kBF16:
        view.data<bf16>()[index] = to_bf16(value);
        return;
      case DType::kF16:
        view.data<f16>()[index] = to_f16(value);
        return;
      default:
        view.data<float>()[index] = value;
    }
  }

  static double rounded(double value, DType type) {
    const float single = static_cast<float>(value);
    if (type == DType::kBF16) return to_float(to_bf16(single));
    if (type == DType::kF16) return to_float(to_f16(single));
    return single;
  }

  // Each value rounded to `type`.
  template <typename Real>
  static std::vector<double> rounded(const std::vector<Real>& values, DType type) {
    std::vector<double> result;
    for (const Real value : values) result.push_back(rounded(static_cast<double>(value), type));
    return result;
  }

  static void expect_close(const std::vector<double>& values, const std::vector<double>& truth,
                           const std::vector<double>& naive, const std::string& what) {
    ASSERT_EQ(values.size(), truth.size()) << what;
    ASSERT_EQ(naive.size(), truth.size()) << what;
    double largest = 0.0, squares = 0.0, naive_squares = 0.0, worst = 0.0, naive_worst = 0.0;
    for (std::size_t i = 0; i < truth.size(); ++i) {
      if (std::isinf(truth[i])) {
        EXPECT_EQ(values[i], truth[i]) << what << " at " << i;
        continue;
      }
      ASSERT_TRUE(std::isfinite(values[i]))
          << what << " at " << i << ": " << values[i] << ", wanted " << truth[i];
      const double error = std::abs(values[i] - truth[i]);
      const double naive_error = std::abs(naive[i] - truth[i]);
      largest = std::max(largest, std::abs(truth[i]));
      worst = std::max(worst, error);
      naive_worst = std::max(naive_worst, naive_error);
      squares += error * error;
      naive_squares += naive_error * naive_error;
    }
    const double count = static_cast<double>(std::max<std::size_t>(truth.size(), 1));
    EXPECT_LE(std::sqrt(squares / count),
              std::max(2.0 * std::sqrt(naive_squares / count), largest * 0x1p-23))
        << what;
    EXPECT_LE(worst, std::max(4.0 * naive_worst, largest * 0x1p-22)) << what;
  }

  CpuAllocator host_memory_;
  std::unique_ptr<Context> context_, portable_context_;
  std::unique_ptr<Ops> ops_, portable_;
};

inline std::string dtype_label(const testing::TestParamInfo<DType>& info) {
  return dtype_name(info.param);
}

#define PSAGEN_CUDA_PARITY(suite)        \
  INSTANTIATE_TEST_SUITE_P(Types, suite, \
                           ::testing::Values(DType::kBF16, DType::kF16, DType::kF32), dtype_label)

}  // namespace psagen::kernels
