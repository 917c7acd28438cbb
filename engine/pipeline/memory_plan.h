// What a run will take of a GPU's memory, known before anything is loaded.
#pragma once

#include <cstddef>
#include <filesystem>
#include <vector>

#include "engine/pipeline/text_to_video.h"
#include "kernels/core/context.h"

namespace psagen::engine {

struct StageMemory {
  Stage stage = Stage::kLoad;
  std::size_t bytes = 0;  // the most held at once, weights among them
};

struct MemoryPlan {
  std::vector<StageMemory> stages;  // text encoding, denoising, decoding
  std::size_t reserve = 0;          // of the ops themselves and the driver, an upper bound
  std::size_t peak() const;         // of the stages, and the reserve
};

// For options.device, a GPU, which need not be there. Reads configurations and headers of the
// model, none of its weights.
MemoryPlan plan_memory(const std::filesystem::path& model_directory, const VideoRequest& request,
                       const ContextOptions& options);

// The most frames of the request's size (4k + 1) that `available` bytes hold; 0 where not even one
// is held.
std::int64_t most_frames(const std::filesystem::path& model_directory, VideoRequest request,
                         const ContextOptions& options, std::size_t available);

// Throws Error(kOutOfMemory) where the plan takes more than `available`: both numbers, the stage,
// and the smallest change that would fit.
void check_memory(const MemoryPlan& plan, const std::filesystem::path& model_directory,
                  const VideoRequest& request, const ContextOptions& options,
                  std::size_t available);

}  // namespace psagen::engine
