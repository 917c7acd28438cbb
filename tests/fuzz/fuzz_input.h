// What every fuzz target does: only Error may leave the code under test, and its message is one
// line; anything else (another exception, a crash, a broken promise) is a finding.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

#include "kernels/core/error.h"

namespace psagen::testing {

inline void expect(bool condition, const char* promise) {
  if (condition) return;
  std::fprintf(stderr, "broken promise: %s\n", promise);
  std::abort();
}

// `shows_input_raw`: where a message repeats the user's own words, which the console cleans.
inline void allow_errors(const std::function<void()>& call, bool shows_input_raw = false) {
  try {
    call();
  } catch (const Error& error) {
    expect(error.code() != ErrorCode::kInternal, "bad input is not our own mistake");
    expect(!error.message().empty(), "an error says something");
    if (shows_input_raw) return;
    expect(error.message().size() < 4096, "a message is one a person can read");
    for (const char c : error.message())
      expect(static_cast<unsigned char>(c) >= 0x20, "a message is one line of text");
  }
}

inline std::string as_text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace psagen::testing
