#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/core/error.h"

namespace psagen::testing {

// Runs `action` and wants an Error of that code whose message holds every part.
template <typename Action>
void expect_error(ErrorCode code, const std::vector<std::string>& parts, Action action) {
  try {
    action();
    FAIL() << "no error; wanted one with: " << parts.at(0);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.message();
    for (const std::string& part : parts) EXPECT_THAT(error.message(), ::testing::HasSubstr(part));
  }
}

}  // namespace psagen::testing
