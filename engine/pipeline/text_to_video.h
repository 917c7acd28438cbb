// Prompt -> frames: encode text, denoise, decode, hand over. Decides what is in memory when.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/config/attention_config.h"
#include "engine/config/model_config.h"
#include "engine/media/frame.h"
#include "engine/pipeline/progress.h"
#include "engine/pipeline/zone_times.h"
#include "engine/text/tokenizer.h"
#include "engine/vae/decode_split.h"
#include "kernels/core/context.h"
#include "scheduler/solver.h"

namespace psagen::engine {

class AttentionProbe;  // engine/dit/attention_probe.h

// Everything that determines the frames, besides the model.
struct VideoRequest {
  std::string prompt;
  std::string negative_prompt;
  std::int64_t width = 0;  // multiples of 16
  std::int64_t height = 0;
  std::int64_t num_frames = 0;  // 4k + 1
  std::int64_t num_steps = 0;
  double guidance_scale = 1.0;  // <= 1: one forward per step
  double shift = 3.0;
  scheduler::SolverKind solver = scheduler::SolverKind::kUniPC;
  std::uint64_t seed = 0;
  AttentionConfig attention;
};

// Throws Error(kInvalidArgument) that names the field, the value found and, for sizes and frame
// counts, the nearest valid one.
void validate(const VideoRequest& request, const ModelConfig& model);

// Of the transformer: one for 2 x 2 values of the latent. Sizes must be valid.
std::int64_t num_video_tokens(const ModelConfig& model, std::int64_t width, std::int64_t height,
                              std::int64_t num_frames);

struct StageReport {
  Stage stage = Stage::kLoad;
  double seconds = 0.0;
  std::size_t peak_bytes = 0;  // resident memory of the process at its peak within the stage
  // Weights read from files and sent to a GPU in this stage; on the CPU files are mapped, and 0.
  std::size_t loaded_bytes = 0;
};

// A sparse layer of a step: means over its forwards, for each head.
struct LayerDensity {
  std::int64_t layer = 0;
  std::vector<double> nominal, executed;
};

struct StepReport {
  double seconds = 0.0;  // on a GPU by its clock
  double sigma = 0.0;
  bool sparse = false;
  // Means over forwards, layers and heads. NaN for a sparse step whose density was not asked for
  // (PipelineOptions::report_density).
  double nominal_density = 1.0;
  double executed_density = 1.0;
  std::vector<LayerDensity> layers;  // the sparse ones, likewise
};

struct RunReport {
  std::vector<StageReport> stages;
  std::vector<StepReport> steps;
  std::vector<ZoneTime> zones;  // where PipelineOptions::report_zones asks for them
  std::int64_t num_prompt_tokens = 0;
  std::int64_t num_video_tokens = 0;
  DecodeSplit decode_split;
};

// Frames arrive in order, as soon as their decoder chunk is finished.
using FrameSink = std::function<void(const Frame&)>;

struct PipelineOptions {
  // A folder where encoded prompts are kept and looked for (prompt_cache.h); empty: every prompt is
  // encoded.
  std::filesystem::path prompt_cache;
  // Blocks of the transformer that stay in host memory (block_stream.h); on a GPU only.
  std::int64_t streamed_blocks = 0;
  // The text encoder's layers are read one after the other (umt5_encoder.h).
  bool text_layers_in_turn = false;
  DecodeSplit decode_split{};
  // What may be tried next where a GPU has too little memory for that when it comes to it.
  VaeTiling tiling = VaeTiling::kAuto;
  // The density of sparse steps is in the report; on a GPU it is fetched after each of them.
  bool report_density = false;
  // The time of each family of ops is in the report; on a GPU that costs two events an op.
  bool report_zones = false;
};

class TextToVideo {
 public:
  // Reads the configuration and checks that the weight files are there and whole; weights are
  // mapped when a stage needs them.
  TextToVideo(const std::filesystem::path& model_directory, Context& context,
              const PipelineOptions& options = {});
  ~TextToVideo();

  const ModelConfig& config() const;
  const Tokenizer& tokenizer() const;
  // SHA-256 of names, dtypes, shapes and bytes would read everything: this is the SHA-256 of the
  // configuration files and of every safetensors header and file size.
  std::string model_hash() const;

  RunReport generate(const VideoRequest& request, const FrameSink& sink,
                     const ProgressCallback& progress);

  // The first `num_steps` (1 to request.num_steps) steps of the same run while `probe` looks at
  // their self-attention; no frames.
  RunReport probe_attention(const VideoRequest& request, std::int64_t num_steps,
                            AttentionProbe& probe, const ProgressCallback& progress);

 private:
  struct Impl;
  struct ModelParts;
  struct Job;
  RunReport run(const VideoRequest& request, const Job& job, const ProgressCallback& progress);

  std::unique_ptr<Impl> impl_;
};

}  // namespace psagen::engine
