// What every command is given, and what an error means for the exit code.
#pragma once

#include "app/console.h"
#include "app/interrupt.h"
#include "kernels/core/error.h"

namespace psagen::app {

// Whose words are being read: an invalid argument found among the user's settings is a mistake on
// the command line (exit code 2), one found while files are read is a mistake in a file (3).
enum class Phase { kSettings, kFiles };

struct Invocation {
  Console& console;
  Interrupt& interrupt;
  Phase phase = Phase::kSettings;
};

// The table on the help page (app/help_page.cc).
constexpr int exit_code(ErrorCode code, Phase phase) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return phase == Phase::kSettings ? 2 : 3;
    case ErrorCode::kNotFound:
      return 3;
    case ErrorCode::kUnsupported:
      return 4;
    case ErrorCode::kIo:
      return 5;
    case ErrorCode::kDevice:
      return 6;
    case ErrorCode::kOutOfMemory:
      return 7;
    case ErrorCode::kNumeric:
      return 8;
    case ErrorCode::kCancelled:
      return 130;
    case ErrorCode::kInternal:
      return 70;
  }
  return 70;
}

}  // namespace psagen::app
