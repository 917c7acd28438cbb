#include "kernels/core/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

namespace psagen {
namespace {

// The value of a 16-bit pattern by the definition of its format, in double.
double decode(std::uint16_t bits, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = bits >> mantissa_bits & ((1 << exponent_bits) - 1);
  const int mantissa = bits & ((1 << mantissa_bits) - 1);
  const double sign = bits & 0x8000 ? -1.0 : 1.0;
  const double fraction = std::ldexp(mantissa, -mantissa_bits);
  if (exponent == (1 << exponent_bits) - 1)
    return mantissa ? std::numeric_limits<double>::quiet_NaN()
                    : sign * std::numeric_limits<double>::infinity();
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias);
  return sign * std::ldexp(1.0 + fraction, exponent - bias);
}

struct Bf16 {
  static constexpr int kExponentBits = 8, kMantissaBits = 7;
  static float widen(std::uint16_t bits) { return to_float(bf16{bits}); }
  static std::uint16_t round(float value) { return to_bf16(value).bits; }
};

struct F16 {
  static constexpr int kExponentBits = 5, kMantissaBits = 10;
  static float widen(std::uint16_t bits) { return to_float(f16{bits}); }
  static std::uint16_t round(float value) { return to_f16(value).bits; }
};

template <typename Format>
class SixteenBitTest : public testing::Test {};
using Formats = testing::Types<Bf16, F16>;
TYPED_TEST_SUITE(SixteenBitTest, Formats);

TYPED_TEST(SixteenBitTest, EveryPatternWidensToItsValueAndComesBack) {
  for (int i = 0; i < 65536; ++i) {
    const auto bits = static_cast<std::uint16_t>(i);
    const double wanted = decode(bits, TypeParam::kExponentBits, TypeParam::kMantissaBits);
    const float value = TypeParam::widen(bits);
    if (std::isnan(wanted)) {
      ASSERT_TRUE(std::isnan(value)) << i;
      ASSERT_TRUE(std::isnan(TypeParam::widen(TypeParam::round(value)))) << i;
      continue;
    }
    ASSERT_EQ(static_cast<double>(value), wanted) << i;
    ASSERT_EQ(std::signbit(value), std::signbit(wanted)) << i;
    ASSERT_EQ(TypeParam::round(value), bits) << i;
  }
}

// Between every two neighbours: just below the middle goes down, just above goes up, the middle
// goes to the even pattern.
TYPED_TEST(SixteenBitTest, RoundsToNearestTiesToEven) {
  for (int i = 0; i < 0x7fff; ++i) {
    const auto low = static_cast<std::uint16_t>(i), high = static_cast<std::uint16_t>(i + 1);
    const float a = TypeParam::widen(low), b = TypeParam::widen(high);
    if (!std::isfinite(a) || !std::isfinite(b)) continue;
    const auto middle = static_cast<float>((static_cast<double>(a) + b) / 2);
    const float below = std::nextafterf(middle, 0.0f);
    const float above = std::nextafterf(middle, std::numeric_limits<float>::infinity());
    for (const float sign : {1.0f, -1.0f}) {
      const std::uint16_t sign_bit = sign < 0 ? 0x8000 : 0;
      ASSERT_EQ(TypeParam::round(sign * middle), sign_bit | (i % 2 == 0 ? low : high)) << i;
      ASSERT_EQ(TypeParam::round(sign * below), sign_bit | low) << i;
      ASSERT_EQ(TypeParam::round(sign * above), sign_bit | high) << i;
    }
  }
}

TYPED_TEST(SixteenBitTest, TooLargeBecomesInfinity) {
  const float infinity = std::numeric_limits<float>::infinity();
  const auto largest_bits = static_cast<std::uint16_t>(TypeParam::round(infinity) - 1);
  const double largest = TypeParam::widen(largest_bits);
  const double step = largest - TypeParam::widen(static_cast<std::uint16_t>(largest_bits - 1));
  const auto halfway = static_cast<float>(largest + step / 2);
  EXPECT_EQ(TypeParam::widen(TypeParam::round(std::nextafterf(halfway, 0.0f))), largest);
  EXPECT_EQ(TypeParam::widen(TypeParam::round(halfway)), infinity);
  EXPECT_EQ(TypeParam::widen(TypeParam::round(infinity)), infinity);
  EXPECT_EQ(TypeParam::widen(TypeParam::round(-infinity)), -infinity);
  EXPECT_EQ(TypeParam::widen(TypeParam::round(std::numeric_limits<float>::max())), infinity);
}

TEST(DTypeTest, SizesAndNames) {
  EXPECT_EQ(dtype_size(DType::kF64), 8u);
  EXPECT_EQ(dtype_size(DType::kI64), 8u);
  EXPECT_EQ(dtype_size(DType::kF32), 4u);
  EXPECT_EQ(dtype_size(DType::kI32), 4u);
  EXPECT_EQ(dtype_size(DType::kBF16), 2u);
  EXPECT_EQ(dtype_size(DType::kF16), 2u);
  EXPECT_EQ(dtype_size(DType::kU8), 1u);
  EXPECT_STREQ(dtype_name(DType::kBF16), "BF16");
  EXPECT_STREQ(dtype_name(DType::kU8), "U8");
  EXPECT_EQ(dtype_of<bf16>::value, DType::kBF16);
  EXPECT_EQ(dtype_of<std::int64_t>::value, DType::kI64);
}

}  // namespace
}  // namespace psagen
