#include "engine/pipeline/text_to_video.h"

#include <algorithm>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include "engine/dit/dit.h"
#include "engine/pipeline/decode_stage.h"
#include "engine/pipeline/denoise_loop.h"
#include "engine/pipeline/guided_model.h"
#include "engine/pipeline/health.h"
#include "engine/pipeline/initial_noise.h"
#include "engine/pipeline/model_hash.h"
#include "engine/pipeline/prompt_cache.h"
#include "engine/pipeline/stage_tracker.h"
#include "engine/pipeline/step_reporter.h"
#include "engine/text/umt5_encoder.h"
#include "engine/vae/decoder.h"
#include "engine/weights/safetensors.h"
#include "kernels/backend.h"
#include "scheduler/guidance.h"

namespace psagen::engine {
namespace {

// One component: its mapped files and the network that reads them. On the CPU the parameters are
// the mapped pages themselves, so giving a component up means dropping both; a GPU has copies.
template <typename Network>
class Component {
 public:
  template <typename Config, typename... More>
  Component(const std::shared_ptr<const WeightSource>& source, const Config& config,
            Context& context, kernels::Ops& ops, DType product_dtype, const More&... more)
      : runtime_(context.runtime()), source_(source), weights_(source, context, product_dtype) {
    network_.emplace(config, weights_, ops, more...);
    source_->drop_from_memory();
  }

  std::size_t loaded_bytes() const { return weights_.loaded_bytes(); }  // sent to a GPU so far
  void expect_all_read() const { weights_.expect_all_read(); }

  const Network& operator*() const { return *network_; }
  const Network* operator->() const { return &*network_; }

  void unload() {
    network_.reset();
    source_->drop_from_memory();
    if (runtime_ != nullptr) runtime_->release_unused();
  }

 private:
  DeviceRuntime* runtime_;
  std::shared_ptr<const WeightSource> source_;
  Weights weights_;
  std::optional<Network> network_;
};

Shape latent_shape(const VideoRequest& request, const ModelConfig& config) {
  const std::int64_t stride = config.vae.spatial_stride();
  return {1, config.transformer.in_channels,
          (request.num_frames - 1) / config.vae.temporal_stride() + 1, request.height / stride,
          request.width / stride};
}

Tensor initial_latent(kernels::Ops& ops, const Shape& shape, std::uint64_t seed) {
  std::vector<float> noise(static_cast<std::size_t>(shape.num_elements()));
  TorchCpuGenerator(seed).normal(noise);
  Tensor latent(ops.context().allocator(), DType::kF32, shape);
  ops.copy(ConstTensorView(reinterpret_cast<const std::byte*>(noise.data()), DType::kF32, shape,
                           Device{}),
           latent);
  return latent;
}

}  // namespace

// How far a run goes.
struct TextToVideo::Job {
  std::int64_t num_steps = 0;
  AttentionProbe* probe = nullptr;  // optional
  const FrameSink* sink = nullptr;  // null: no frames
};

struct TextToVideo::Impl {
  Impl(const std::filesystem::path& directory, Context& the_context, const PipelineOptions& options)
      : context(the_context),
        streamed_blocks(options.streamed_blocks),
        text_layers_in_turn(options.text_layers_in_turn),
        decode_split(options.decode_split),
        tiling(options.tiling),
        report_density(options.report_density),
        report_zones(options.report_zones),
        ops(kernels::make_ops(the_context)),
        config(read_model_config(directory)),
        tokenizer(directory / "tokenizer",
                  static_cast<std::int32_t>(config.text_encoder.eos_token_id),
                  config.text_encoder.vocab_size),
        text_source(open_safetensors(directory / "text_encoder", "model")),
        dit_source(open_safetensors(directory / "transformer", "diffusion_pytorch_model")),
        vae_source(open_safetensors(directory / "vae", "diffusion_pytorch_model")) {
    if (options.prompt_cache.empty()) return;
    cache.emplace(options.prompt_cache,
                  concat(text_encoder_key(directory), ' ', dtype_name(umt5_dtype(the_context)), ' ',
                         static_cast<int>(the_context.device().kind)));
  }

  // Prompt and, where guidance wants it, negative prompt.
  std::vector<std::vector<std::int32_t>> tokenize(const VideoRequest& request) const;
  // As the encoder gives them, empty where the cache has not got them.
  std::vector<Tensor> find_encoded(const std::vector<std::vector<std::int32_t>>& prompts);
  void keep_encoded(const std::vector<std::vector<std::int32_t>>& prompts,
                    const std::vector<Tensor>& encoded);
  // Throws Error(kNumeric) naming the layer that gave the first of the values in `output` that are
  // not finite.
  void name_layer(const Umt5Encoder& encoder, const std::vector<std::vector<std::int32_t>>& prompts,
                  ConstTensorView output);
  std::vector<Tensor> encode(const Component<Umt5Encoder>& encoder,
                             const std::vector<std::vector<std::int32_t>>& prompts,
                             StageTracker& stages);
  void denoise(const VideoRequest& request, const Job& job, const Dit& dit,
               const std::vector<Tensor>& encoded, TensorView latent, StageTracker& stages,
               RunReport& report);

  Context& context;
  std::int64_t streamed_blocks;
  bool text_layers_in_turn;
  DecodeSplit decode_split;
  VaeTiling tiling;
  bool report_density, report_zones;
  std::unique_ptr<kernels::Ops> ops;
  ModelConfig config;
  Tokenizer tokenizer;
  std::shared_ptr<const WeightSource> text_source;
  std::shared_ptr<const WeightSource> dit_source;
  std::shared_ptr<const WeightSource> vae_source;
  std::optional<PromptCache> cache;
};

std::vector<std::vector<std::int32_t>> TextToVideo::Impl::tokenize(
    const VideoRequest& request) const {
  const std::int64_t limit = config.defaults.max_text_tokens;
  std::vector<std::vector<std::int32_t>> prompts = {tokenizer.encode(request.prompt, limit).ids};
  if (scheduler::guidance_weights(request.guidance_scale).needs_negative())
    prompts.push_back(tokenizer.encode(request.negative_prompt, limit).ids);
  return prompts;
}

std::vector<Tensor> TextToVideo::Impl::find_encoded(
    const std::vector<std::vector<std::int32_t>>& prompts) {
  if (!cache) return {};
  const DType dtype = umt5_dtype(context);
  const std::size_t row_bytes =
      static_cast<std::size_t>(config.text_encoder.d_model) * dtype_size(dtype);
  std::size_t num_rows = 0;
  for (const std::vector<std::int32_t>& prompt : prompts) num_rows += prompt.size();
  const auto values = cache->find(prompts, num_rows * row_bytes);
  if (!values) return {};
  std::vector<Tensor> encoded;
  const std::byte* next = values->data();
  for (const std::vector<std::int32_t>& prompt : prompts) {
    const Shape shape = {1, static_cast<std::int64_t>(prompt.size()), config.text_encoder.d_model};
    ops->copy(ConstTensorView(next, dtype, shape, Device{}),
              encoded.emplace_back(context.allocator(), dtype, shape));
    next += prompt.size() * row_bytes;
  }
  return encoded;
}

void TextToVideo::Impl::keep_encoded(const std::vector<std::vector<std::int32_t>>& prompts,
                                     const std::vector<Tensor>& encoded) {
  if (!cache) return;
  std::vector<std::byte> values;
  for (const Tensor& rows : encoded) {
    const ConstTensorView view = rows;
    const std::size_t begin = values.size();
    values.resize(begin + view.num_bytes());
    ops->copy(view, TensorView(values.data() + begin, view.dtype(), view.shape(), Device{}));
  }
  cache->keep(prompts, values);
}

// Which layer was the first is worth a second run, not a look at each in every first one.
void TextToVideo::Impl::name_layer(const Umt5Encoder& encoder,
                                   const std::vector<std::vector<std::int32_t>>& prompts,
                                   ConstTensorView output) {
  encoder.encode(*ops, prompts, [this](std::int64_t done, std::int64_t total, ConstTensorView x) {
    expect_finite(*ops, x, concat("layer ", done, " of ", total, " of the text encoder"));
  });
  expect_finite(*ops, output, "the text encoder's output");
}

std::vector<Tensor> TextToVideo::Impl::encode(const Component<Umt5Encoder>& encoder,
                                              const std::vector<std::vector<std::int32_t>>& prompts,
                                              StageTracker& stages) {
  stages.begin(Stage::kEncodeText, config.text_encoder.num_layers);
  const std::size_t loaded_before = encoder.loaded_bytes();
  std::vector<Tensor> encoded = encoder->encode(
      *ops, prompts,
      [&stages](std::int64_t done, std::int64_t, ConstTensorView) { stages.advance(done); });
  for (const Tensor& rows : encoded)
    if (!is_finite(*ops, rows)) name_layer(*encoder, prompts, rows);
  encoder.expect_all_read();  // of layers in turn it is known only now
  stages.add_loaded(encoder.loaded_bytes() - loaded_before);
  stages.end();
  return encoded;
}

void TextToVideo::Impl::denoise(const VideoRequest& request, const Job& job, const Dit& dit,
                                const std::vector<Tensor>& encoded, TensorView latent,
                                StageTracker& stages, RunReport& report) {
  stages.begin(Stage::kDenoise, job.num_steps);
  const std::int64_t max_tokens = config.defaults.max_text_tokens;
  const TextContext positive = dit.encode_text(*ops, encoded.front(), max_tokens);
  const TextContext negative =
      encoded.size() > 1 ? dit.encode_text(*ops, encoded.back(), max_tokens) : TextContext();
  GuidedModel model(*ops, dit, latent.shape(), request.attention,
                    scheduler::guidance_weights(request.guidance_scale), positive, negative,
                    job.probe);
  model.measure_density(report_density);
  report.num_video_tokens = model.num_tokens();

  const std::vector<scheduler::StepPlan> plans =
      scheduler::plan_steps(request.solver, request.num_steps, request.shift);
  DenoiseLoop loop(*ops, latent.shape(),
                   std::span(plans).first(static_cast<std::size_t>(job.num_steps)));
  StepReporter reporter(context, plans, model.nonfinite(),
                        DensityReport(context, model.density(), report_density), report, stages);
  const auto velocity = [&](std::int64_t step, const scheduler::StepPlan& plan,
                            ConstTensorView sample, TensorView out) {
    model(*ops, sample, plan.timestep, {.step = step, .num_steps = request.num_steps}, out);
  };
  const auto step_done = [&](std::int64_t, ConstTensorView) { reporter.queued(); };
  loop.run(*ops, velocity, latent, step_done);
  reporter.finish();
  stages.end();
}

// The networks of a run, as they are loaded; each counts as one in the stage's progress.
struct TextToVideo::ModelParts {
  ModelParts(Impl& the_impl, StageTracker& the_stages) : impl(the_impl), stages(the_stages) {}

  void begin(std::int64_t total) {
    stages.begin(Stage::kLoad, total);
    done = 0;
  }

  void load_text_encoder() {
    load(text_encoder, impl.text_source, impl.config.text_encoder, umt5_dtype(impl.context),
         impl.text_layers_in_turn);
  }

  void load_rest(bool with_vae) {
    const DType dtype = impl.context.compute_dtype();
    load(dit, impl.dit_source, impl.config.transformer, dtype, impl.streamed_blocks);
    if (with_vae) load(vae, impl.vae_source, impl.config.vae, dtype);
  }

  void end() { stages.end(); }

  template <typename Network, typename Config, typename... More>
  void load(std::optional<Component<Network>>& part,
            const std::shared_ptr<const WeightSource>& source, const Config& config, DType dtype,
            const More&... more) {
    part.emplace(source, config, impl.context, *impl.ops, dtype, more...);
    const bool is_whole = !std::is_same_v<Network, Umt5Encoder> || !impl.text_layers_in_turn;
    if (is_whole) part->expect_all_read();
    if (impl.context.runtime() != nullptr) impl.context.runtime()->release_unused();
    stages.add_loaded(part->loaded_bytes());
    stages.advance(++done);
  }

  Impl& impl;
  StageTracker& stages;
  std::int64_t done = 0;
  std::optional<Component<Umt5Encoder>> text_encoder;
  std::optional<Component<Dit>> dit;
  std::optional<Component<VaeDecoder>> vae;
};

TextToVideo::TextToVideo(const std::filesystem::path& model_directory, Context& context,
                         const PipelineOptions& options)
    : impl_(std::make_unique<Impl>(model_directory, context, options)) {}

TextToVideo::~TextToVideo() = default;

const ModelConfig& TextToVideo::config() const { return impl_->config; }

const Tokenizer& TextToVideo::tokenizer() const { return impl_->tokenizer; }

std::string TextToVideo::model_hash() const {
  return hash_model_directory(impl_->config.directory);
}

RunReport TextToVideo::generate(const VideoRequest& request, const FrameSink& sink,
                                const ProgressCallback& progress) {
  return run(request, {.num_steps = request.num_steps, .sink = &sink}, progress);
}

RunReport TextToVideo::probe_attention(const VideoRequest& request, std::int64_t num_steps,
                                       AttentionProbe& probe, const ProgressCallback& progress) {
  PSAGEN_CHECK(num_steps >= 1 && num_steps <= request.num_steps, ErrorCode::kInternal,
               "attention is looked at in ", num_steps, " of ", request.num_steps, " steps");
  return run(request, {.num_steps = num_steps, .probe = &probe}, progress);
}

RunReport TextToVideo::run(const VideoRequest& request, const Job& job,
                           const ProgressCallback& progress) {
  validate(request, impl_->config);
  Impl& impl = *impl_;
  RunReport report;
  std::optional<ZoneTimes> zone_times;
  if (impl.report_zones) zone_times.emplace(impl.context);
  StageTracker stages(progress, &impl.context.profiler());
  const std::vector<std::vector<std::int32_t>> prompts = impl.tokenize(request);
  report.decode_split = impl.decode_split;
  report.num_prompt_tokens = static_cast<std::int64_t>(prompts.front().size());

  // A GPU holds one of text encoder and denoiser at a time: the first is used for a moment. On the
  // CPU, where loading is mapping, all are opened at once, so that a bad tensor shows before
  // minutes of work.
  std::vector<Tensor> encoded = impl.find_encoded(prompts);
  const bool is_kept = !encoded.empty();
  const bool all_at_once = impl.context.runtime() == nullptr || is_kept;
  ModelParts parts(impl, stages);
  const bool decodes = job.sink != nullptr;
  const std::int64_t rest = decodes ? 2 : 1;
  parts.begin((is_kept ? 0 : 1) + (all_at_once ? rest : 0));
  if (!is_kept) parts.load_text_encoder();
  if (all_at_once) parts.load_rest(decodes);
  parts.end();
  if (is_kept) {
    stages.begin(Stage::kEncodeText, impl.config.text_encoder.num_layers);
    stages.end();
  } else {
    encoded = impl.encode(*parts.text_encoder, prompts, stages);
    impl.keep_encoded(prompts, encoded);
    parts.text_encoder->unload();
  }
  if (!all_at_once) {
    parts.begin(rest);
    parts.load_rest(decodes);
    parts.end();
  }
  Tensor latent = initial_latent(*impl.ops, latent_shape(request, impl.config), request.seed);
  impl.denoise(request, job, **parts.dit, encoded, latent, stages, report);
  parts.dit->unload();
  impl.context.workspace().trim();
  if (decodes) {
    stages.begin(Stage::kDecode, request.num_frames);
    report.decode_split = decode_clip(*impl.ops, **parts.vae, latent, request.num_frames,
                                      impl.decode_split, impl.tiling, *job.sink, stages);
    stages.end();
    impl.context.workspace().trim();
  }
  report.stages = stages.take_reports();
  if (zone_times) report.zones = zone_times->read();
  return report;
}

}  // namespace psagen::engine
