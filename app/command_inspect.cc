#include "app/command_inspect.h"

#include <algorithm>
#include <memory>

#include "app/help_page.h"
#include "app/inspect_options.h"
#include "app/inspect_report.h"
#include "app/model_directory.h"
#include "app/settings.h"
#include "app/version.h"
#include "engine/config/nearest_name.h"
#include "engine/inspect/block_map_image.h"
#include "engine/media/partial_file.h"
#include "engine/media/png_file.h"
#include "engine/pipeline/prompt_cache.h"
#include "scheduler/guidance.h"

namespace psagen::app {

namespace {

namespace fs = std::filesystem;

std::string inspect_help() {
  return "psa-gen inspect attention makes a clip as generate does, without decoding it, and tries\n"
         "sparse attentions on what its self-attention layers compute from.\n\n"
         "  psa-gen inspect attention --prompt TEXT --step 10 --layer 3 --head 1 \\\n"
         "    --attention psa:fast -o map.png\n"
         "  psa-gen inspect attention --prompt TEXT --steps-at 0,5,10 --json errors.json \\\n"
         "    --attention psa:fast,psa,block-sparse\n\n"
         "The clip's own attention is dense unless --along says otherwise, and every attention\n"
         "that is tried gets the same queries, keys and values, also in steps that its preset\n"
         "would leave dense. The error is ||o - o_dense|| / ||o_dense|| over a layer's heads.\n\n"
         "A place costs one dense attention and one sparse one for each that is tried; the mass\n"
         "of one head as many dense attentions of that head as there are key blocks, over the\n"
         "head's width.\n" +
         flag_section(field_texts(Table<InspectOptions>(inspect_table())));
}

std::int64_t steps_needed(const engine::InspectedPlaces& places) {
  const std::int64_t last = places.steps.empty() ? 0 : *places.steps.rbegin();
  return 1 + std::max(last, places.head ? places.head->step : 0);
}

void check_targets(const InspectOptions& options) {
  const bool overwrite = options.overwrite.value_or(false);
  for (const std::optional<std::string>& target : {options.output, options.json})
    if (target) engine::check_new_file(*target, overwrite);
}

void inspect_attention(const InspectOptions& options, Invocation& invocation) {
  Console& console = invocation.console;
  console.set_style(parse_progress(options.progress.value_or("auto")));
  const std::string prompt = resolve_prompt(options);
  const std::vector<engine::AttentionConfig> tried = tried_attentions(options);
  const engine::AttentionConfig trajectory = engine::trajectory_attention(
      engine::parse_attention(options.attention.value_or("dense")), tried);
  const std::unique_ptr<Context> context = resolve_context(options, nullptr);
  check_targets(options);

  invocation.phase = Phase::kFiles;
  engine::PipelineOptions pipeline_options;
  if (!options.no_prompt_cache.value_or(false))
    pipeline_options.prompt_cache = engine::default_prompt_cache();
  engine::TextToVideo pipeline(options.model ? fs::path(*options.model) : default_model_directory(),
                               *context, pipeline_options);
  const engine::ModelConfig& model = pipeline.config();

  invocation.phase = Phase::kSettings;
  engine::VideoRequest request = resolve_request(options, prompt, model);
  request.attention = trajectory;
  engine::validate(request, model);
  InspectFacts facts;
  facts.places = resolve_places(
      options,
      {.num_steps = request.num_steps,
       .num_layers = model.transformer.num_layers,
       .num_heads = model.transformer.num_attention_heads,
       .has_negative = scheduler::guidance_weights(request.guidance_scale).needs_negative()});
  facts.record = {.version = program_version(),
                  .commit = program_commit(),
                  .model_name = model.name,
                  .model_hash = pipeline.model_hash(),
                  .settings = record_of(request, resolve_fps(options, model))};
  facts.device = engine::device_description(*context);
  facts.dtype = dtype_name(context->compute_dtype());

  invocation.phase = Phase::kFiles;
  engine::AttentionInspector inspector(tried, facts.places);
  const engine::RunReport report = pipeline.probe_attention(
      request, steps_needed(facts.places), inspector, [&](const engine::Progress& progress) {
        console.progress(progress);
        return !invocation.interrupt.requested();
      });
  facts.num_video_tokens = report.num_video_tokens;
  facts.results = inspector.results();
  const bool overwrite = options.overwrite.value_or(false);
  if (options.output)
    engine::write_png(*options.output,
                      engine::draw_block_map(facts.results.front().head->map).frame(), overwrite);
  if (options.json) write_inspect_json(*options.json, facts, overwrite);
  console.page(inspect_page(facts));
}

}  // namespace

void run_inspect(std::span<const std::string> arguments, Invocation& invocation) {
  const std::string what = arguments.empty() ? "" : arguments[0];
  if (what == "--help" || what == "-h") return invocation.console.page(inspect_help());
  PSAGEN_CHECK(what == "attention", ErrorCode::kInvalidArgument, "'", what, "' cannot be inspected",
               engine::name_suggestion(what, {"attention"}), "; wanted psa-gen inspect attention");
  const InspectOptions options = parse_inspect_options(arguments.subspan(1));
  if (options.help.value_or(false)) return invocation.console.page(inspect_help());
  inspect_attention(options, invocation);
}

}  // namespace psagen::app
