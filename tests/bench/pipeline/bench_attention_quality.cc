// The clips that scripts/benchmarks/attention_quality.py compares, from one process: every prompt
// with every attention, then what each sparse attention loses on the queries, keys and values of
// the prompt's dense run. A clip is that of `psa-gen --prompt P --seed 0 --attention A`.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/help_page.h"
#include "app/inspect_options.h"
#include "app/model_directory.h"
#include "app/settings.h"
#include "app/tuning_file.h"
#include "engine/inspect/attention_inspector.h"
#include "engine/pipeline/prompt_cache.h"
#include "engine/pipeline/text_to_video.h"
#include "tests/bench/pipeline/clip_stream.h"

namespace psagen {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

// `steps_at` of the inspection; `seed` is 0 where it is not given.
struct QualityOptions : app::InspectOptions {
  std::optional<std::string> prompts, attentions, tried_file;
  std::optional<std::int64_t> first, count, every;
};

using O = QualityOptions;

std::vector<app::Field<O>> quality_table() {
  constexpr std::string_view kWhat = "What is compared";
  std::vector<app::Field<O>> table = {
      {{.name = "prompts", .value = "FILE", .group = kWhat, .help = "a prompt a line"},
       &O::prompts},
      {{.name = "first",
        .value = "N",
        .group = kWhat,
        .help = "the first prompt, counted from 0 (default: 0)",
        .lowest = 0},
       &O::first},
      {{.name = "count",
        .value = "N",
        .group = kWhat,
        .help = "how many prompts, at most (default: all that are left)",
        .lowest = 0},
       &O::count},
      {{.name = "every",
        .value = "N",
        .group = kWhat,
        .help = "of the prompts from the first on, each Nth (default: 1)",
        .lowest = 1},
       &O::every},
      {{.name = "attentions",
        .value = "FILE",
        .group = kWhat,
        .help = "an attention a line, as for --attention of psa-gen"},
       &O::attentions},
      {{.name = "tried",
        .value = "FILE",
        .group = kWhat,
        .help = "likewise, sparse ones: their error along the dense run (default: none)"},
       &O::tried_file},
      {{.name = "steps-at",
        .value = "LIST",
        .group = kWhat,
        .help = "the steps at which errors are taken, over all layers (default: all)"},
       &O::steps_at},
      {{.name = "output",
        .letter = 'o',
        .value = "FILE",
        .group = kWhat,
        .help = "where records go (default: standard output)"},
       &O::output},
  };
  for (const app::Field<app::GenerateOptions>& field : app::generate_table())
    for (const char* name :
         {"negative-prompt", "model", "size", "frames", "steps", "cfg", "shift", "sampler", "seed",
          "device", "dtype", "threads", "no-prompt-cache", "no-tuning-cache", "help"})
      if (field.text.name == name)
        table.push_back({field.text, std::visit([](auto member) { return app::Member<O>(member); },
                                                field.member)});
  return table;
}

std::vector<std::string> lines_of(const char* flag, const std::optional<std::string>& path) {
  PSAGEN_CHECK(path, ErrorCode::kInvalidArgument, "there is no ", flag, " FILE");
  std::ifstream file(*path);
  PSAGEN_CHECK(file.is_open(), ErrorCode::kIo, "cannot read ", flag, " ", *path);
  constexpr const char* kBlank = " \t\r";
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);)
    if (const std::size_t begin = line.find_first_not_of(kBlank); begin != std::string::npos)
      lines.push_back(line.substr(begin, line.find_last_not_of(kBlank) + 1 - begin));
  return lines;
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

bool proceed(const engine::Progress&) { return true; }

class Comparison {
 public:
  explicit Comparison(const QualityOptions& options)
      : options_(options),
        prompts_(lines_of("--prompts", options.prompts)),
        attentions_(lines_of("--attentions", options.attentions)),
        stream_(options.output.value_or("")) {
    if (options.tried_file)
      for (const std::string& spec : lines_of("--tried", options.tried_file))
        tried_.push_back(engine::parse_attention(spec));
    options_.seed = options.seed.value_or(0);
    if (!options_.steps_at) options_.steps_at = "all";
    std::shared_ptr<app::TuningFile> tuning;
    if (const fs::path path = app::default_tuning_file();
        !path.empty() && !options.no_tuning_cache.value_or(false))
      tuning = std::make_shared<app::TuningFile>(path);
    context_ = app::resolve_context(options_, tuning);
    engine::PipelineOptions pipeline_options;
    if (!options.no_prompt_cache.value_or(false))
      pipeline_options.prompt_cache = engine::default_prompt_cache();
    pipeline_ = std::make_unique<engine::TextToVideo>(
        options.model ? fs::path(*options.model) : app::default_model_directory(), *context_,
        pipeline_options);
  }

  void run() {
    const std::int64_t every = options_.every.value_or(1);
    std::int64_t left = options_.count.value_or(std::ssize(prompts_));
    for (std::int64_t i = options_.first.value_or(0); i < std::ssize(prompts_) && left > 0;
         i += every, --left) {
      for (std::int64_t j = 0; j < std::ssize(attentions_); ++j) make_clip(i, j);
      if (!tried_.empty()) inspect(i);
    }
  }

 private:
  engine::VideoRequest request_for(std::int64_t prompt, const std::string& attention) const {
    QualityOptions options = options_;
    options.attention = attention;
    return app::resolve_request(options, prompts_[static_cast<std::size_t>(prompt)],
                                pipeline_->config());
  }

  void make_clip(std::int64_t prompt, std::int64_t attention) {
    const engine::VideoRequest request =
        request_for(prompt, attentions_[static_cast<std::size_t>(attention)]);
    RecordedClip clip;
    const Clock::time_point start = Clock::now();
    pipeline_->generate(
        request, [&clip](const engine::Frame& frame) { clip.add(frame); }, proceed);
    stream_.write(prompt, attention, seconds_since(start), clip);
  }

  // As `psa-gen inspect attention --steps-at LIST` does it.
  void inspect(std::int64_t prompt) {
    engine::VideoRequest request = request_for(prompt, "dense");
    request.attention = engine::trajectory_attention(request.attention, tried_);
    const engine::InspectedPlaces places = app::resolve_places(
        options_, {.num_steps = request.num_steps,
                   .num_layers = pipeline_->config().transformer.num_layers,
                   .num_heads = pipeline_->config().transformer.num_attention_heads});
    engine::AttentionInspector inspector(tried_, places);
    const Clock::time_point start = Clock::now();
    pipeline_->probe_attention(request, 1 + *places.steps.rbegin(), inspector, proceed);
    stream_.write(prompt, seconds_since(start), inspector.results());
  }

  QualityOptions options_;
  std::vector<std::string> prompts_, attentions_;
  std::vector<engine::AttentionConfig> tried_;
  ClipStream stream_;
  std::unique_ptr<Context> context_;
  std::unique_ptr<engine::TextToVideo> pipeline_;
};

void run(const std::vector<std::string>& arguments) {
  const std::vector<app::Field<O>> fields = quality_table();
  const app::Table<O> table = fields;
  const QualityOptions options = app::parse_flags(table, arguments);
  if (options.help.value_or(false)) {
    std::fputs(app::flag_section(app::field_texts(table)).c_str(), stdout);
    return;
  }
  Comparison(options).run();
}

}  // namespace
}  // namespace psagen

int main(int argc, char** argv) {
  try {
    psagen::run({argv + std::min(argc, 1), argv + argc});
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_attention_quality: %s\n", error.what());
    return 1;
  }
}
