#include "kernels/core/error.h"

#include <gtest/gtest.h>

namespace psagen {
namespace {

TEST(ErrorTest, CheckJoinsItsPartsAndSaysWhere) {
  try {
    PSAGEN_CHECK(1 + 1 == 3, ErrorCode::kNotFound, "found ", 2, ", wanted ", 3.5);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_EQ(error.message(), "found 2, wanted 3.5");
    EXPECT_STREQ(error.what(), "found 2, wanted 3.5");
    EXPECT_NE(error.where().find("error_test.cc:"), std::string::npos);
  }
}

TEST(ErrorTest, ACheckThatHoldsEvaluatesNoMessage) {
  int evaluated = 0;
  PSAGEN_CHECK(true, ErrorCode::kInternal, ++evaluated);
  EXPECT_EQ(evaluated, 0);
}

TEST(ErrorTest, EveryCodeHasAName) {
  EXPECT_STREQ(error_code_name(ErrorCode::kInvalidArgument), "invalid argument");
  EXPECT_STREQ(error_code_name(ErrorCode::kOutOfMemory), "out of memory");
  EXPECT_STREQ(error_code_name(ErrorCode::kCancelled), "cancelled");
}

}  // namespace
}  // namespace psagen
