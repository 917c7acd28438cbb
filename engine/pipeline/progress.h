// How a run tells what it is doing, and how it is told to stop.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace psagen::engine {

enum class Stage { kLoad, kEncodeText, kDenoise, kDecode, kWrite };

const char* stage_name(Stage stage);  // "load", "encode text", "denoise", "decode", "write"

struct Progress {
  Stage stage = Stage::kLoad;
  std::int64_t done = 0;   // units finished in this stage: steps, frames, ...
  std::int64_t total = 0;  // units of this stage
  double seconds = 0.0;    // since the stage began
};

// Called at the start of a stage (done = 0), after every unit and at its end (done = total).
// Returning false cancels: the pipeline throws Error(kCancelled) and leaves nothing behind.
using ProgressCallback = std::function<bool(const Progress&)>;

}  // namespace psagen::engine
