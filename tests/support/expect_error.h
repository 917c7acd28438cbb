// Expects that a call throws Error of a code, with texts in its message: the name of the thing, the
// value found, the value wanted.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "kernels/core/error.h"

namespace psagen::testing {

inline void expect_error(ErrorCode code, const std::vector<std::string>& parts,
                         const std::function<void()>& call) {
  try {
    call();
    ADD_FAILURE() << "no error thrown, wanted " << error_code_name(code);
  } catch (const Error& error) {
    EXPECT_STREQ(error_code_name(error.code()), error_code_name(code)) << error.message();
    for (const std::string& part : parts) EXPECT_THAT(error.message(), ::testing::HasSubstr(part));
    EXPECT_THAT(error.message(), ::testing::Not(::testing::HasSubstr("\n")));
  }
}

}  // namespace psagen::testing
