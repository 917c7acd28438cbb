// What a run will take of a GPU's memory and how it is made to fit, known before anything is
// loaded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
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
  std::size_t host_bytes = 0;       // the most page-locked host memory, blocks among it
  std::int64_t streamed_blocks = 0;
  bool text_layers_in_turn = false;
  DecodeSplit decode_split;
  std::size_t peak() const;  // of the stages, and the reserve
};

// A model and a request on options.device, a GPU, which need not be there. Reads configurations and
// headers of the model, none of its weights.
class MemoryPlanner {
 public:
  MemoryPlanner(std::filesystem::path model_directory, VideoRequest request,
                const ContextOptions& options, VaeTiling tiling = VaeTiling::kAuto);

  // Frames decoded in as few tiles as `tiling` allows.
  MemoryPlan plan(std::int64_t streamed_blocks = 0) const;
  MemoryPlan plan(std::int64_t streamed_blocks, const DecodeSplit& split,
                  bool text_layers_in_turn = false) const;

  // The plan that takes at most `available` bytes with the fewest tiles and the fewest blocks
  // streamed from host memory, and the text encoder whole where that fits. Throws
  // Error(kOutOfMemory) where none does: what it would take, the stage, and the smallest change
  // that would fit.
  MemoryPlan fit(std::size_t available) const;
  // Throws Error(kOutOfMemory) where the plan keeps more in host memory than `available` bytes: how
  // much, and how much GPU memory would do instead.
  void check_host(const MemoryPlan& plan, std::size_t available) const;

 private:
  MemoryPlan plan_of(const VideoRequest& request, std::int64_t streamed_blocks,
                     const DecodeSplit& split, bool text_layers_in_turn) const;
  std::vector<DecodeSplit> splits(VaeTiling tiling) const;
  // The first plan, with as many blocks streamed as may be, whose decode takes at most `available`
  // bytes; else the one that takes the least.
  MemoryPlan fit_decode(std::size_t available, VaeTiling tiling, bool text_layers_in_turn) const;
  std::string smallest_change(const MemoryPlan& smallest, std::size_t available) const;
  std::int64_t most_streamed() const;
  // The most frames (4k + 1) that fit with the decode and the text encoder of `smallest`, 0 where
  // not even one does.
  std::int64_t most_frames(std::size_t available, const MemoryPlan& smallest) const;

  std::filesystem::path model_;
  VideoRequest request_;
  ContextOptions options_;
  VaeTiling tiling_;
  ModelConfig config_;
};

}  // namespace psagen::engine
