#include "app/settings.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <random>

#include "app/run_config.h"
#include "engine/config/automatic_attention.h"
#include "engine/config/nearest_name.h"

namespace psagen::app {

namespace {

constexpr std::streamsize kLongestPromptFile = std::streamsize{1} << 20;

std::string read_prompt_file(const std::filesystem::path& path) {
  std::error_code error;
  PSAGEN_CHECK(std::filesystem::exists(path, error), ErrorCode::kNotFound,
               "there is no prompt file ", path.string());
  PSAGEN_CHECK(!std::filesystem::is_directory(path, error), ErrorCode::kIo, "prompt file ",
               path.string(), " is a folder");
  std::ifstream file(path, std::ios::binary);
  PSAGEN_CHECK(file.is_open(), ErrorCode::kIo, "cannot read prompt file ", path.string());
  std::string text(static_cast<std::size_t>(kLongestPromptFile) + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  PSAGEN_CHECK(text.size() <= static_cast<std::size_t>(kLongestPromptFile),
               ErrorCode::kInvalidArgument, "prompt file ", path.string(),
               " is longer than 1 MiB, which is no prompt");
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  return text.substr(0, text.find_last_not_of(" \t\r\n") + 1);
}

// A length in seconds as the nearest count of frames the VAE can decode: stride k + 1.
std::int64_t frames_of(double seconds, double fps, std::int64_t stride) {
  const double steps = (seconds * fps - 1.0) / static_cast<double>(stride);
  return stride * std::max<std::int64_t>(std::llround(steps), 0) + 1;
}

// 32 bits: torch's generator takes no more of a seed, and a shorter number is easier to type.
std::uint64_t random_seed() { return std::random_device()(); }

}  // namespace

GivenOptions gather_options(const GenerateOptions& flags) {
  const Table<GenerateOptions> table = generate_table();
  GivenOptions given{flags, std::nullopt};
  if (flags.config) given.options = lay_over(given.options, load_config(*flags.config), table);
  if (flags.from) {
    given.record = load_run_record(*flags.from);
    given.options = lay_over(given.options, given.record->settings, table);
  }
  return given;
}

std::string resolve_prompt(const GenerateOptions& options) {
  PSAGEN_CHECK(options.prompt || options.prompt_file, ErrorCode::kInvalidArgument,
               "there is no prompt; give --prompt \"what the video shows\" (--help has the rest)");
  const std::string prompt =
      options.prompt ? *options.prompt : read_prompt_file(*options.prompt_file);
  PSAGEN_CHECK(prompt.find_first_not_of(" \t\r\n\v\f") != std::string::npos,
               ErrorCode::kInvalidArgument, "the prompt is empty; wanted what the video shows");
  return prompt;
}

std::unique_ptr<Context> resolve_context(const GenerateOptions& options,
                                         std::shared_ptr<TuningStore> tuning,
                                         std::string* why_no_gpu) {
  const engine::DeviceChoice device = engine::parse_device(options.device.value_or("auto"));
  std::optional<DType> dtype;
  if (options.dtype) dtype = engine::parse_compute_dtype(*options.dtype);
  return engine::open_context(device, dtype, static_cast<int>(options.threads.value_or(0)),
                              std::move(tuning), why_no_gpu);
}

ContextOptions resolve_planned_device(const GenerateOptions& options) {
  const engine::DeviceChoice choice = engine::parse_device(options.device.value_or("auto"));
  PSAGEN_CHECK(choice.is_auto || choice.device.kind == DeviceKind::kCuda,
               ErrorCode::kInvalidArgument,
               "--plan says what a GPU's memory would hold; --device cpu has none");
  ContextOptions planned;
  planned.device = {DeviceKind::kCuda, choice.device.index};
  planned.compute_dtype =
      options.dtype ? engine::parse_compute_dtype(*options.dtype) : DType::kBF16;
  return planned;
}

std::string asked_attention(const GenerateOptions& options) {
  return options.attention.value_or(std::string(engine::kAutomaticAttention));
}

double resolve_fps(const GenerateOptions& options, const engine::ModelConfig& model) {
  return options.fps.value_or(model.defaults.fps);
}

engine::VideoRequest resolve_request(const GenerateOptions& options, const std::string& prompt,
                                     const engine::ModelConfig& model,
                                     const ContextOptions& device) {
  const engine::GenerationDefaults& defaults = model.defaults;
  const FrameSize size = options.size.value_or(FrameSize{defaults.width, defaults.height});
  engine::VideoRequest request;
  request.prompt = prompt;
  request.negative_prompt = options.negative_prompt.value_or(defaults.negative_prompt);
  request.width = size.width;
  request.height = size.height;
  request.num_frames = options.frames.value_or(defaults.num_frames);
  if (options.seconds) {
    request.num_frames =
        frames_of(*options.seconds, resolve_fps(options, model), model.vae.temporal_stride());
  }
  request.num_steps = options.steps.value_or(defaults.num_steps);
  request.guidance_scale = options.cfg.value_or(defaults.guidance_scale);
  request.shift = options.shift.value_or(defaults.shift);
  request.solver = scheduler::parse_solver(options.sampler.value_or("unipc"));
  request.attention = engine::resolve_attention(
      asked_attention(options),
      engine::num_video_tokens(model, request.width, request.height, request.num_frames), device);
  request.seed = options.seed ? *options.seed : random_seed();
  return request;
}

GenerateOptions record_of(const engine::VideoRequest& request, double fps) {
  GenerateOptions record;
  record.prompt = request.prompt;
  record.negative_prompt = request.negative_prompt;
  record.size = FrameSize{request.width, request.height};
  record.frames = request.num_frames;
  record.fps = fps;
  record.steps = request.num_steps;
  record.cfg = request.guidance_scale;
  record.shift = request.shift;
  record.sampler = scheduler::solver_name(request.solver);
  record.seed = request.seed;
  record.attention = request.attention.spec;
  return record;
}

}  // namespace psagen::app
