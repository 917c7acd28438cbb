// From what the user gave to what the pipeline is asked for.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "app/options.h"
#include "app/run_record.h"
#include "engine/pipeline/open_context.h"
#include "engine/pipeline/text_to_video.h"
#include "kernels/core/context.h"

namespace psagen::app {

// Flags over --config over --from: one set of options, and the record --from named.
struct GivenOptions {
  GenerateOptions options;
  std::optional<RunRecord> record;
};
GivenOptions gather_options(const GenerateOptions& flags);

// The prompt, or the text of --prompt-file without its byte order mark and trailing white space.
// Throws Error: neither given, empty, unreadable.
std::string resolve_prompt(const GenerateOptions& options);

// Device, type and threads; `tuning` may be null, `why_no_gpu` is as for open_context(). Throws
// Error: kInvalidArgument for an unknown name, kDevice where the device asked for cannot be used.
std::unique_ptr<Context> resolve_context(const GenerateOptions& options,
                                         std::shared_ptr<TuningStore> tuning,
                                         std::string* why_no_gpu = nullptr);

// The GPU a plan is for, which need not be there. Throws Error(kInvalidArgument) where --device
// names the CPU, whose memory is not planned.
ContextOptions resolve_planned_device(const GenerateOptions& options);

// Everything the user left open comes from the model's defaults; a missing seed is drawn at random.
engine::VideoRequest resolve_request(const GenerateOptions& options, const std::string& prompt,
                                     const engine::ModelConfig& model,
                                     const ContextOptions& device = {});
std::string asked_attention(const GenerateOptions& options);
double resolve_fps(const GenerateOptions& options, const engine::ModelConfig& model);

// The fields of Scope::kRecord that say exactly this request.
GenerateOptions record_of(const engine::VideoRequest& request, double fps);

}  // namespace psagen::app
