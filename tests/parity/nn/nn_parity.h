// One fixture for the parity suites of the network ops: reference against the back end, for every
// vector target this machine has.
//
// Tolerance: the root mean square of the op's error against the double reference may be twice that
// of the same formula written plainly in float32, and no element may be off by more than four times
// the plain formula's worst (the largest of a few hundred errors is partly luck, their root mean
// square is not). Errors of half a unit (one unit, for the worst) in the last place of the largest
// value always pass: storing the result alone makes that much. Every check also demands that one
// and two threads give the same bits and that a call repeated takes no further memory.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/simd_target.h"
#include "kernels/reference/elements.h"

namespace psagen::kernels {

inline std::string target_name(const testing::TestParamInfo<cpu::SimdTarget>& info) {
  switch (info.param) {
    case cpu::SimdTarget::kBest:
      return "Best";
    case cpu::SimdTarget::kAvx2:
      return "Avx2";
    case cpu::SimdTarget::kBaseline:
      return "Baseline";
  }
  return "Unknown";
}

class NnParity : public testing::TestWithParam<cpu::SimdTarget> {
 protected:
  NnParity()
      : two_threads_({.device = {}, .num_threads = 2}),
        one_thread_({.device = {}, .num_threads = 1}) {
    cpu::limit_simd_target(GetParam());
    two_ = make_ops(two_threads_);
    one_ = make_ops(one_thread_);
  }
  ~NnParity() override { cpu::limit_simd_target(cpu::SimdTarget::kBest); }

  // Values in [-scale, scale), the same for the same seed.
  Tensor random(Shape shape, std::uint64_t seed, DType dtype = DType::kF32, double scale = 1.0) {
    Tensor tensor(allocator_, dtype, shape);
    std::uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
    for (std::int64_t i = 0; i < shape.num_elements(); ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      const double unit = static_cast<double>(state >> 40) / static_cast<double>(1 << 24);
      store(tensor.view(), i, static_cast<float>((2.0 * unit - 1.0) * scale));
    }
    return tensor;
  }

  Tensor empty(Shape shape, DType dtype = DType::kF32) { return Tensor(allocator_, dtype, shape); }

  using Run = std::function<void(Ops&)>;

  // Runs on one and on two threads; `y` is what `run` writes.
  void check(const Run& run, const TensorView& y, const std::vector<double>& truth,
             const std::vector<float>& naive, const std::string& what) {
    SCOPED_TRACE(what);
    run(*two_);
    expect_close(y, truth, naive, what);
    const auto first = reference::elements<float>(y);
    run(*two_);
    const std::size_t capacity = two_threads_.workspace().capacity();
    const std::size_t in_use = two_threads_.allocator().bytes_in_use();
    const std::size_t peak = two_threads_.allocator().peak_bytes();
    run(*two_);
    EXPECT_EQ(two_threads_.workspace().capacity(), capacity);
    EXPECT_EQ(two_threads_.allocator().bytes_in_use(), in_use);
    EXPECT_EQ(two_threads_.allocator().peak_bytes(), peak);
    expect_same_bits(first, reference::elements<float>(y));
    run(*one_);
    expect_same_bits(first, reference::elements<float>(y));
  }

  struct Errors {
    double worst = 0.0, squares = 0.0;
    std::int64_t count = 0;

    void add(double error) {
      worst = std::max(worst, std::abs(error));
      squares += error * error;
      ++count;
    }
    double rms() const {
      return count == 0 ? 0.0 : std::sqrt(squares / static_cast<double>(count));
    }
  };

  static void expect_close(const ConstTensorView& y, const std::vector<double>& truth,
                           const std::vector<float>& naive, const std::string& what) {
    const auto values = reference::elements<double>(y);
    ASSERT_EQ(values.size(), truth.size());
    ASSERT_EQ(naive.size(), truth.size());
    double largest = 0.0;
    Errors naive_errors, errors;
    for (std::size_t i = 0; i < truth.size(); ++i) {
      if (std::isinf(truth[i])) {
        EXPECT_EQ(values[i], truth[i]) << what << " at " << i;
        continue;
      }
      ASSERT_TRUE(std::isfinite(values[i])) << what << " at " << i;
      largest = std::max(largest, std::abs(truth[i]));
      naive_errors.add(naive[i] - truth[i]);
      errors.add(values[i] - truth[i]);
    }
    EXPECT_LE(errors.rms(), std::max(2.0 * naive_errors.rms(), largest * 0x1p-24)) << what;
    EXPECT_LE(errors.worst, std::max(4.0 * naive_errors.worst, largest * 0x1p-23)) << what;
  }

  static void expect_same_bits(const std::vector<float>& a, const std::vector<float>& b) {
    ASSERT_EQ(a.size(), b.size());
    EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0);
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

  CpuAllocator allocator_;
  Context two_threads_, one_thread_;
  std::unique_ptr<Ops> two_, one_;
};

inline const std::vector<DType> kWeightTypes = {DType::kF32, DType::kBF16, DType::kF16};

#define PSAGEN_NN_PARITY_TARGETS(suite)                                                            \
  INSTANTIATE_TEST_SUITE_P(                                                                        \
      Targets, suite,                                                                              \
      testing::Values(cpu::SimdTarget::kBest, cpu::SimdTarget::kAvx2, cpu::SimdTarget::kBaseline), \
      target_name)

}  // namespace psagen::kernels
