#include "app/command_generate.h"

#include <algorithm>
#include <chrono>
#include <iomanip>
#include <limits>
#include <memory>
#include <sstream>

#include "app/help_page.h"
#include "app/model_directory.h"
#include "app/options.h"
#include "app/output_files.h"
#include "app/report.h"
#include "app/settings.h"
#include "app/tuning_file.h"
#include "app/version.h"
#include "engine/config/automatic_attention.h"
#include "engine/media/partial_file.h"
#include "engine/pipeline/host_memory.h"
#include "engine/pipeline/memory_plan.h"
#include "engine/pipeline/open_context.h"
#include "engine/pipeline/prompt_cache.h"

namespace psagen::app {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The last (or first) `count` characters of a text, whole ones, with dots where more there is.
std::string tail(const std::string& text, std::size_t count) {
  std::size_t begin = text.size() > count ? text.size() - count : 0;
  while (begin < text.size() && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) ++begin;
  return (begin > 0 ? "..." : "") + text.substr(begin);
}

std::string head(const std::string& text, std::size_t count) {
  std::size_t end = std::min(text.size(), count);
  while (end > 0 && end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80)
    --end;
  return text.substr(0, end) + (end < text.size() ? "..." : "");
}

// Reads both prompts as the model will, so that text that is not UTF-8 shows now, and says where a
// long one is cut.
void check_prompts(const engine::VideoRequest& request, const engine::TextToVideo& pipeline,
                   Console& console) {
  constexpr std::size_t kShown = 60;
  const std::int64_t limit = pipeline.config().defaults.max_text_tokens;
  struct Prompt {
    const char* name;
    const std::string& text;
    bool is_used;
  };
  for (const Prompt& prompt :
       {Prompt{"prompt", request.prompt, true},
        Prompt{"negative prompt", request.negative_prompt, request.guidance_scale > 1.0}}) {
    const engine::TokenizedPrompt tokens = pipeline.tokenizer().encode(prompt.text, limit);
    if (!tokens.truncated || !prompt.is_used) continue;
    const std::string cut =
        tokens.cleaned.substr(std::min(tokens.kept.size(), tokens.cleaned.size()));
    console.warning(concat("the ", prompt.name, " is longer than the model's ", limit,
                           " tokens; what follows the bar is not read: ", tail(tokens.kept, kShown),
                           " | ", head(cut, kShown)));
  }
}

// A video is repeated exactly only with the model that made it.
void check_model(const RunRecord& record, const std::string& hash, const std::string& name,
                 bool is_chosen, Console& console) {
  if (record.model_hash == hash) return;
  const std::string text =
      concat("the video was made with model ", record.model_name, " (",
             record.model_hash.substr(0, 12), "), this is ", name, " (", hash.substr(0, 12), ")");
  PSAGEN_CHECK(is_chosen, ErrorCode::kInvalidArgument, text,
               "; name that model with --model, or another one to take its settings only");
  console.warning(text + ": only its settings are repeated");
}

void describe(const engine::VideoRequest& request, const std::string& asked_attention,
              const engine::ModelConfig& model, double fps, Context& context, Console& console) {
  const int num_threads = context.num_threads();
  const std::string attention = engine::describe_attention(
      request.attention, asked_attention,
      engine::num_video_tokens(model, request.width, request.height, request.num_frames),
      context.options());
  console.note(concat("model ", model.name, ", ", request.width, "x", request.height, ", ",
                      request.num_frames, " frames at ", fps, " per second, ", request.num_steps,
                      " steps (", scheduler::solver_name(request.solver), "), guidance ",
                      request.guidance_scale, ", attention ", attention, ", ",
                      engine::device_description(context), ", ", num_threads,
                      num_threads == 1 ? " thread" : " threads", ", seed ", request.seed));
}

// "in 2 x 3 tiles, one latent frame at a time"; empty where nothing is cut.
std::string split_text(const engine::DecodeSplit& split) {
  std::string text;
  if (split.is_tiled()) text = concat("in ", split.rows, " x ", split.columns, " tiles");
  if (split.latent_frames_per_chunk)
    text += concat(text.empty() ? "" : ", ", "one latent frame at a time");
  return text;
}

// Whose weights a GPU holds then.
const char* residents(engine::Stage stage) {
  switch (stage) {
    case engine::Stage::kEncodeText:
      return "  text encoder, let go afterwards";
    case engine::Stage::kDenoise:
      return "  transformer, let go afterwards, and VAE decoder";
    case engine::Stage::kDecode:
      return "  VAE decoder";
    default:
      return "";
  }
}

std::string plan_text(const engine::MemoryPlan& plan, const ContextOptions& device) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(2) << "GPU memory in " << dtype_name(device.compute_dtype)
       << ", the most at once:\n";
  const auto row = [&](const std::string& name, std::size_t bytes, const char* who = "") {
    text << "  " << std::left << std::setw(22) << name << std::right << std::setw(8)
         << static_cast<double>(bytes) / 1e9 << " GB" << who << "\n";
  };
  for (const engine::StageMemory& stage : plan.stages)
    row(engine::stage_name(stage.stage), stage.bytes, residents(stage.stage));
  row("ops and driver, up to", plan.reserve);
  row("in all", plan.peak());
  if (const std::string split = split_text(plan.decode_split); !split.empty())
    text << "frames are decoded " << split << "\n";
  if (plan.streamed_blocks > 0) {
    text << plan.streamed_blocks << " blocks of the transformer pass through the GPU from ";
    text << static_cast<double>(plan.host_bytes) / 1e9 << " GB of page-locked host memory\n";
  }
  if (plan.text_layers_in_turn)
    text << "the text encoder's layers are read one after the other, each when it is needed\n";
  return text.str();
}

// One run, its parts made in the order in which they can fail.
class Run {
 public:
  Run(const GenerateOptions& flags, Invocation& invocation) : invocation_(invocation) {
    read_options(flags);
    open_model();
    decide();
  }

  void make_video() {
    if (options_.plan.value_or(false)) return tell_plan();
    invocation_.phase = Phase::kFiles;
    const Clock::time_point start = Clock::now();
    RunFacts facts;
    facts.report = pipeline_->generate(
        request_, [this](const engine::Frame& frame) { outputs_->write(frame); },
        [this](const engine::Progress& progress) { return tell(progress); });
    if (facts.report.decode_split != decode_split_)
      invocation_.console.warning(
          concat("the GPU had less memory left than planned: frames were decoded ",
                 split_text(facts.report.decode_split)));
    finish_outputs(facts.report);
    if (tuning_ != nullptr) tuning_->save();
    facts.seconds = seconds_since(start);
    facts.record = record_;
    facts.model_directory = pipeline_->config().directory;
    facts.device = engine::device_description(*context_);
    facts.dtype = dtype_name(context_->compute_dtype());
    facts.num_threads = context_->num_threads();
    facts.outputs = outputs_->paths();
    if (options_.report) {
      write_report(*options_.report, facts, options_.overwrite.value_or(false));
      facts.outputs.push_back(*options_.report);
    }
    invocation_.console.finished(
        {outputs_->paths(), request_.seed, facts.report.stages, facts.seconds});
  }

 private:
  void read_options(const GenerateOptions& flags) {
    invocation_.console.set_style(parse_progress(flags.progress.value_or("auto")));
    invocation_.phase = Phase::kFiles;
    const GivenOptions given = gather_options(flags);
    invocation_.phase = Phase::kSettings;
    options_ = given.options;
    source_ = given.record;
    invocation_.console.set_style(parse_progress(options_.progress.value_or("auto")));
    prompt_ = resolve_prompt(options_);
    // Names are checked before the model is opened.
    scheduler::parse_solver(options_.sampler.value_or("unipc"));
    tiling();
    // A plan needs no device of its own.
    context_ = options_.plan.value_or(false)
                   ? engine::open_context({{}, false}, {}, 1)
                   : resolve_context(options_, open_tuning(), &why_no_gpu_);
  }

  // Opened before it is known whether there is a GPU to use it; only then is its warning told.
  std::shared_ptr<TuningFile> open_tuning() {
    const fs::path path = default_tuning_file();
    if (options_.no_tuning_cache.value_or(false) || path.empty()) return nullptr;
    tuning_ = std::make_shared<TuningFile>(path);
    return tuning_;
  }

  // Where the run is to be on a GPU: the plan that fits it.
  engine::MemoryPlan plan_of(const ContextOptions& device, std::size_t available) const {
    if (options_.vram_limit)
      available = std::min(available, static_cast<std::size_t>(*options_.vram_limit * 1e9));
    return planner(device).fit(available);
  }

  engine::MemoryPlanner planner(const ContextOptions& device) const {
    return {model_directory_, request_, device, tiling()};
  }

  engine::VaeTiling tiling() const {
    return engine::parse_vae_tiling(options_.vae_tiling.value_or("auto"));
  }

  engine::PipelineOptions pipeline_options() const {
    engine::PipelineOptions options;
    if (!options_.no_prompt_cache.value_or(false))
      options.prompt_cache = engine::default_prompt_cache();
    options.report_density = options.report_zones = options_.report.has_value();
    options.tiling = tiling();
    return options;
  }

  void make_fit() {
    if (tuning_ != nullptr && !tuning_->warning().empty())
      invocation_.console.warning(tuning_->warning());
    const ContextOptions& device = context_->options();
    const DeviceInfo info = context_->runtime()->info();
    if (!info.missing.empty()) invocation_.console.warning(info.missing);
    const engine::MemoryPlan plan = plan_of(device, info.free_bytes);
    planner(device).check_host(plan, engine::available_host_bytes());
    arrange(plan);
  }

  // Makes the pipeline anew where it is not to be as it is by itself.
  void arrange(const engine::MemoryPlan& plan) {
    if (plan.streamed_blocks == 0 && !plan.text_layers_in_turn &&
        plan.decode_split == engine::DecodeSplit{})
      return;
    engine::PipelineOptions options = pipeline_options();
    options.streamed_blocks = plan.streamed_blocks;
    options.text_layers_in_turn = plan.text_layers_in_turn;
    options.decode_split = decode_split_ = plan.decode_split;
    pipeline_.emplace(model_directory_, *context_, options);
    if (plan.text_layers_in_turn)
      invocation_.console.note(
          "the text encoder's layers are read one after the other: the GPU does not hold them all");
    if (plan.streamed_blocks > 0)
      invocation_.console.note(concat(plan.streamed_blocks,
                                      " blocks of the transformer stay in host memory: the GPU "
                                      "does not hold them all"));
    if (const std::string text = split_text(plan.decode_split); !text.empty())
      invocation_.console.note("frames are decoded " + text);
  }

  void tell_plan() {
    const ContextOptions device = resolve_planned_device(options_);
    // A GPU that is not here is one of another machine's, and has all it takes.
    std::size_t available = std::numeric_limits<std::size_t>::max();
    std::string where;
    if (const std::unique_ptr<Context> present = engine::find_gpu(device)) {
      available = present->runtime()->info().free_bytes;
      where = concat("free on ", engine::device_description(*present), ": ",
                     static_cast<double>(available / 10'000'000) / 100.0, " GB\n");
    }
    invocation_.console.page(plan_text(plan_of(device, available), device) + where);
  }

  void open_model() {
    invocation_.phase = Phase::kFiles;
    const fs::path directory =
        options_.model ? fs::path(*options_.model) : default_model_directory();
    model_directory_ = directory;
    pipeline_.emplace(directory, *context_, pipeline_options());
    record_.version = program_version();
    record_.commit = program_commit();
    record_.model_name = pipeline_->config().name;
    record_.model_hash = pipeline_->model_hash();
    if (source_) {
      check_model(*source_, record_.model_hash, record_.model_name, options_.model.has_value(),
                  invocation_.console);
    }
    invocation_.phase = Phase::kSettings;
  }

  void decide() {
    const ContextOptions device =
        options_.plan.value_or(false) ? resolve_planned_device(options_) : context_->options();
    request_ = resolve_request(options_, prompt_, pipeline_->config(), device);
    const double fps = resolve_fps(options_, pipeline_->config());
    engine::validate(request_, pipeline_->config());
    check_prompts(request_, *pipeline_, invocation_.console);
    if (context_->runtime() != nullptr) {
      make_fit();
    } else if (!options_.plan.value_or(false) && tiling() == engine::VaeTiling::kOn) {
      const std::int64_t stride = pipeline_->config().vae.spatial_stride();
      engine::MemoryPlan plan;
      plan.decode_split =
          engine::decode_splits(tiling(), request_.height / stride, request_.width / stride)
              .front();
      arrange(plan);
    }
    record_.settings = record_of(request_, fps);
    if (options_.plan.value_or(false)) return;
    const bool overwrite = options_.overwrite.value_or(false);
    engine::VideoOptions video;
    video.width = request_.width;
    video.height = request_.height;
    video.fps = fps;
    video.num_frames = request_.num_frames;
    video.comment = to_json(record_);
    video.overwrite = overwrite;
    outputs_.emplace(options_, video, prompt_, request_.seed);
    for (const fs::path& path : outputs_->paths()) invocation_.interrupt.remove_unfinished(path);
    if (options_.report) engine::check_new_file(*options_.report, overwrite);
    describe(request_, asked_attention(options_), pipeline_->config(), fps, *context_,
             invocation_.console);
    if (!why_no_gpu_.empty()) invocation_.console.note("computed on the CPU: " + why_no_gpu_);
  }

  bool tell(const engine::Progress& progress) {
    invocation_.console.progress(progress);
    return !invocation_.interrupt.requested();
  }

  // Frames are written while the decoder runs; the report tells the two apart.
  void finish_outputs(engine::RunReport& report) {
    PSAGEN_CHECK(tell({engine::Stage::kWrite, 0, 1, outputs_->seconds()}), ErrorCode::kCancelled,
                 "interrupted");
    const double seconds_in_decode = outputs_->seconds();
    outputs_->finish();
    engine::StageReport write;
    write.stage = engine::Stage::kWrite;
    write.seconds = outputs_->seconds();
    for (engine::StageReport& stage : report.stages) {
      if (stage.stage != engine::Stage::kDecode) continue;
      stage.seconds -= seconds_in_decode;
      write.peak_bytes = stage.peak_bytes;
    }
    report.stages.push_back(write);
    tell({engine::Stage::kWrite, 1, 1, outputs_->seconds()});
    if (!outputs_->note().empty()) invocation_.console.warning(outputs_->note());
  }

  Invocation& invocation_;
  GenerateOptions options_;
  std::optional<RunRecord> source_;  // of --from
  std::string prompt_;
  std::shared_ptr<TuningFile> tuning_;  // null: nothing is looked for or kept
  std::unique_ptr<Context> context_;
  std::string why_no_gpu_;  // where it was for the program to choose
  fs::path model_directory_;
  std::optional<engine::TextToVideo> pipeline_;
  engine::VideoRequest request_;
  engine::DecodeSplit decode_split_;  // as planned
  RunRecord record_;                  // of this run
  std::optional<OutputFiles> outputs_;
};

}  // namespace

std::string generate_help() {
  const std::vector<FieldText> fields = field_texts(generate_table());
  return "psa-gen turns a sentence into a short video.\n\n"
         "  psa-gen --prompt \"a red circle moves right on a plain grey background\"\n\n"
         "What a flag leaves open the model decides; `psa-gen info` prints its defaults.\n" +
         flag_section(fields) + exit_code_section();
}

void run_generate(std::span<const std::string> arguments, Invocation& invocation) {
  const GenerateOptions flags = parse_options(arguments);
  if (flags.help.value_or(false)) return invocation.console.page(generate_help());
  if (flags.version.value_or(false)) {
    return invocation.console.page(
        concat("psa-gen ", program_version(), " (", program_commit(), ")\n"));
  }
  Run(flags, invocation).make_video();
}

}  // namespace psagen::app
